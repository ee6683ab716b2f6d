package linktest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 1812 section 5.3.7, RFC 6890, BCP 38: sources that nobody outside can
// have open nothing at a mapping. The last ones are our own address and the
// mapping's own port: LAND, a packet that would answer itself.
func TestMartianSourcesReachNoMapping(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, p := range []model.Protocol{model.TCP, model.UDP} {
		r.Config.Mappings[uint32(i+1)] = dptest.Mapping(p, "203.0.113.1:8080", wire.Inside(0, 80))
	}
	r.Apply(t)
	count := uint64(0)
	for _, p := range []model.Protocol{model.TCP, model.UDP} {
		for _, from := range []string{
			"0.0.0.0:68", "0.1.2.3:80", "127.0.0.1:80", "127.255.255.254:80", "224.0.0.1:80", "239.255.255.250:1900",
			"240.0.0.1:80", "255.255.255.255:80", "172.16.1.1:80", "172.16.1.2:80", "172.16.1.77:80", "172.16.1.255:80",
			"203.0.113.1:80", "203.0.113.1:8080",
		} {
			r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.Syn, From: netip.MustParseAddrPort(from), To: wire.Published, Payload: []byte("martian")})
			count++
			r.Dropped(t, "inside-address-from-outside", count)
		}
	}
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Payload == "martian" || p.Protocol == model.TCP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	if n := len(r.Sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// The same to a dynamic binding with the widest filtering.
func TestMartianSourcesReachNoBinding(t *testing.T) {
	t.Parallel()
	f := dptest.NewRig(t, 1).Filter(t, model.UDP, model.EndpointIndependent)
	f.Mute(t, 0)
	for i, from := range []string{"127.0.0.1:80", "172.16.1.9:80", "224.0.0.1:80", "203.0.113.1:80", f.External.String()} {
		f.FromRemote(t, wire.Segment{Protocol: model.UDP, From: netip.MustParseAddrPort(from), To: f.External})
		f.Dropped(t, "inside-address-from-outside", uint64(i+1))
	}
	if n := len(f.Sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the first alone", n)
	}
}

// From inside only the endpoint's own address is honest, whatever else is
// right: an outside address, the host's, the gateway's, none, a group's.
func TestOutsideSourcesFromInsideAreDropped(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, from := range []string{
		"203.0.113.1:80", "198.51.100.7:80", "172.16.1.1:80", "172.16.1.9:80", "0.0.0.0:80", "127.0.0.1:80", "224.0.0.1:80", "255.255.255.255:80",
	} {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: netip.MustParseAddrPort(from), To: wire.Unanswered(7, 80)})
		r.Dropped(t, "spoofed-source", uint64(i+1))
	}
	if n := len(r.Sessions(t)); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// An endpoint that sends to its own address by way of the gateway makes no loop.
func TestPacketToItselfDoesNotLoop(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.FromEndpoint(t, 0,
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Inside(0, 80), Payload: []byte("land")},
		// By its own mapping, from the mapped port: what comes is from the very address that it is sent to.
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 80), To: wire.Published, Payload: []byte("mirror")})
	got := r.AtEndpoint[0].Await(t, "the hairpin", 1, wire.Says("mirror"))
	if got[0].From != wire.Published || got[0].To != wire.Inside(0, 80) {
		t.Errorf("came from %v to %v", got[0].From, got[0].To)
	}
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
	if n := len(r.AtEndpoint[0].Came(wire.Says("mirror"))); n != 1 {
		t.Errorf("it came %d times", n)
	}
	r.Consistent(t)
}

// An error from a source that nobody outside can have.
func TestMartianErrorsReachNobody(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 2)
	r.Mute(t, 0)
	s := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
	r.FromEndpoint(t, 0, s)
	quoted := wire.Segment{Protocol: model.UDP, From: r.External(t, model.UDP, s.From), To: s.To}
	for i, from := range []string{"172.16.1.3", "172.16.1.1", "127.0.0.1", "203.0.113.1", "224.0.0.1", "0.0.0.0", "255.255.255.255"} {
		e := wire.ICMPError{From: netip.MustParseAddr(from), To: wire.HostAddress, Kind: 3, Code: 3, Quote: quoted.IP()}
		r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink), wire.EtherIPv4, e.IP()))
		r.Dropped(t, "inside-address-from-outside", uint64(i+1))
	}
	r.Marker(t)
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// No session with an inside address as its external one.
func TestMappingOnAnyAddressIsNotOnTheGateways(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: netip.MustParseAddrPort("172.16.1.1:8080"), Payload: []byte("past")},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 80), To: netip.MustParseAddrPort("172.16.1.1:8080")})
	r.Dropped(t, "inside-address-from-outside", 2)
	r.Marker(t)
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.From.Addr() == wire.Unanswered(7, 0).Addr() }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// CVE-2020-8558: with route_localnet on, as some tools
// leave it, whoever can route a packet to the host reaches what listens on
// loopback alone.
func TestInsideDoesNotReachLoopbackOfHost(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	wire.Must(t, r.Host.Sysctl("net/ipv4/conf/all/route_localnet", "1"))
	r.Mute(t, 0)
	service := wire.Listen(t, r.Host, "127.0.0.1:9000")
	anywhere := wire.Listen(t, r.Host, "0.0.0.0:9001")
	for i, from := range []netip.AddrPort{wire.Inside(0, 4000), unmanaged} {
		for _, s := range []wire.Segment{
			{Protocol: model.UDP, From: from, To: netip.MustParseAddrPort("127.0.0.1:9000"), Payload: []byte("loopback")},
			{Protocol: model.UDP, From: from, To: netip.MustParseAddrPort("203.0.113.1:9001"), Payload: []byte("honest")},
		} {
			r.Send(t, r.Endpoints[i], "eth0", wire.Ethernet(dptest.EndpointMAC(i), wire.GatewayMAC, wire.EtherIPv4, s.IP()))
		}
		anywhere.Expect(t, "honest")
	}
	if service.Pending(0) {
		t.Error("an endpoint reached the host's loopback")
	}
}
