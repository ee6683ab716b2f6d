package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 1812 section 5.3.7, RFC 6890, BCP 38: sources that nobody outside can
// have open nothing at a mapping. The last ones are our own address and the
// mapping's own port: LAND, a packet that would answer itself.
func TestMartianSourcesReachNoMapping(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, p := range []model.Protocol{model.TCP, model.UDP} {
		r.config.Mappings[uint32(i+1)] = mapping(p, "203.0.113.1:8080", inside(0, 80))
	}
	r.apply(t)
	count := uint64(0)
	for _, p := range []model.Protocol{model.TCP, model.UDP} {
		for _, from := range []string{
			"0.0.0.0:68", "0.1.2.3:80", "127.0.0.1:80", "127.255.255.254:80", "169.254.1.1:80", "224.0.0.1:80", "239.255.255.250:1900",
			"240.0.0.1:80", "255.255.255.255:80", "172.16.1.1:80", "172.16.1.2:80", "172.16.1.77:80", "172.16.1.255:80",
			"203.0.113.1:80", "203.0.113.1:8080",
		} {
			r.fromRemote(t, segment{protocol: p, flags: syn, from: netip.MustParseAddrPort(from), to: published, payload: []byte("martian")})
			count++
			r.dropped(t, "inside-address-from-outside", count)
		}
	}
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: published, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.payload == "martian" || p.protocol == model.TCP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	if n := len(r.sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// The same to a dynamic binding with the widest filtering.
func TestMartianSourcesReachNoBinding(t *testing.T) {
	t.Parallel()
	f := newRig(t, 1).filter(t, model.UDP, model.EndpointIndependent)
	f.mute(t, 0)
	for i, from := range []string{"127.0.0.1:80", "172.16.1.9:80", "224.0.0.1:80", "203.0.113.1:80", f.external.String()} {
		f.fromRemote(t, segment{protocol: model.UDP, from: netip.MustParseAddrPort(from), to: f.external})
		f.dropped(t, "inside-address-from-outside", uint64(i+1))
	}
	if n := len(f.sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the first alone", n)
	}
}

// From inside only the endpoint's own address is honest, whatever else is
// right: an outside address, the host's, the gateway's, none, a group's.
func TestOutsideSourcesFromInsideAreDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, from := range []string{
		"203.0.113.1:80", "198.51.100.7:80", "172.16.1.1:80", "172.16.1.9:80", "0.0.0.0:80", "127.0.0.1:80", "224.0.0.1:80", "255.255.255.255:80",
	} {
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: netip.MustParseAddrPort(from), to: stranger(7, 80)})
		r.dropped(t, "spoofed-source", uint64(i+1))
	}
	if n := len(r.sessions(t)); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// An endpoint that sends to its own address by way of the gateway makes no loop.
func TestPacketToItselfDoesNotLoop(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.UDP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	r.fromEndpoint(t, 0,
		segment{protocol: model.UDP, from: inside(0, 80), to: inside(0, 80), payload: []byte("land")},
		// By its own mapping, from the mapped port: what comes is from the very address that it is sent to.
		segment{protocol: model.UDP, from: inside(0, 80), to: published, payload: []byte("mirror")})
	got := r.atEndpoint[0].await(t, "the hairpin", 1, says("mirror"))
	if got[0].from != published || got[0].to != inside(0, 80) {
		t.Errorf("came from %v to %v", got[0].from, got[0].to)
	}
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: published, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
	if n := len(r.atEndpoint[0].came(says("mirror"))); n != 1 {
		t.Errorf("it came %d times", n)
	}
	r.consistent(t)
}

// An error from a source that nobody outside can have.
func TestMartianErrorsReachNobody(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 2)
	r.mute(t, 0)
	s := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)}
	r.fromEndpoint(t, 0, s)
	quoted := segment{protocol: model.UDP, from: r.external(t, model.UDP, s.from), to: s.to}
	for i, from := range []string{"172.16.1.3", "172.16.1.1", "127.0.0.1", "203.0.113.1", "224.0.0.1", "169.254.1.1", "0.0.0.0", "255.255.255.255"} {
		e := icmpError{from: netip.MustParseAddr(from), to: hostAddress, kind: 3, code: 3, quote: quoted.ip()}
		r.send(t, r.Remote, lab.RemoteLink, ethernet(r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink), etherIPv4, e.ip()))
		r.dropped(t, "inside-address-from-outside", uint64(i+1))
	}
	r.marker(t)
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.protocol == model.ICMP }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// No session with an inside address as its external one.
func TestMappingOnAnyAddressIsNotOnTheGateways(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 1)
	r.mute(t, 0)
	r.fromRemote(t,
		segment{protocol: model.UDP, from: stranger(7, 80), to: netip.MustParseAddrPort("172.16.1.1:8080"), payload: []byte("past")},
		segment{protocol: model.TCP, flags: syn, from: stranger(7, 80), to: netip.MustParseAddrPort("172.16.1.1:8080")})
	r.dropped(t, "inside-address-from-outside", 2)
	r.marker(t)
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.from.Addr() == stranger(7, 0).Addr() }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
}

// CVE-2020-8558: with route_localnet on, as some tools
// leave it, whoever can route a packet to the host reaches what listens on
// loopback alone.
func TestInsideDoesNotReachLoopbackOfHost(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	must(t, r.Host.Sysctl("net/ipv4/conf/all/route_localnet", "1"))
	r.mute(t, 0)
	service := listen(t, r.Host, "127.0.0.1:9000")
	anywhere := listen(t, r.Host, "0.0.0.0:9001")
	for i, from := range []netip.AddrPort{inside(0, 4000), unmanaged} {
		for _, s := range []segment{
			{protocol: model.UDP, from: from, to: netip.MustParseAddrPort("127.0.0.1:9000"), payload: []byte("loopback")},
			{protocol: model.UDP, from: from, to: netip.MustParseAddrPort("203.0.113.1:9001"), payload: []byte("honest")},
		} {
			r.send(t, r.Endpoints[i], "eth0", ethernet(endpointMAC(i), gatewayMAC, etherIPv4, s.ip()))
		}
		anywhere.expect(t, "honest")
	}
	if service.pending(0) {
		t.Error("an endpoint reached the host's loopback")
	}
}
