package linktest

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Design, rule 1: nothing leaks. Every rig looks for inside addresses outside
// (wire.checkLeaks); here is what would show some.

// openTheGates makes the host a router and takes the inside's programs off.
func openTheGates(t *testing.T, r *dptest.Rig) {
	t.Helper()
	wire.Must(t, r.Host.Sysctl("net/ipv4/ip_forward", "1"))
	for index, i := range r.Config.Insides {
		hook := datapath.InsideIngress
		if i.Bridge {
			hook = datapath.BridgeIngress
		}
		wire.Must(t, r.Datapath.Detach(datapath.Attachment{Interface: index, Hook: hook}))
		if n := programs(t, r, index); n != 0 {
			t.Fatalf("%d programs are attached to interface %d after Detach", n, index)
		}
	}
}

// A program is off the interface when Detach returns, though the kernel lets go of a
// pinned link later, or somebody has it open: so it can be attached again at once.
func TestDetachIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	for index, i := range r.Config.Insides {
		if i.Bridge {
			continue
		}
		inside := datapath.Attachment{Interface: index, Hook: datapath.InsideIngress}
		held, err := link.LoadPinnedLink(filepath.Join(r.Dir, "links", fmt.Sprintf("%d-%s", index, inside.Hook)), nil)
		wire.Must(t, err)
		t.Cleanup(func() { held.Close() })
		wire.Must(t, r.Datapath.Detach(inside))
		if n := programs(t, r, index); n != 0 {
			t.Errorf("%d programs are attached after Detach", n)
		}
		wire.Must(t, r.Host.Do(func() error { return r.Datapath.Attach(inside) }))
		if n := programs(t, r, index); n != 1 {
			t.Errorf("%d programs are attached after Attach", n)
		}
		wire.Must(t, datapath.TakeOff(r.Dir))
		if n := programs(t, r, index); n != 0 {
			t.Errorf("%d programs are attached after TakeOff", n)
		}
	}
}

// programs counts what is attached to an interface's ingress.
func programs(t *testing.T, r *dptest.Rig, index uint32) int {
	t.Helper()
	count := 0
	wire.Must(t, r.Host.Do(func() error {
		found, err := link.QueryPrograms(link.QueryOptions{Target: int(index), Attach: ebpf.AttachTCXIngress})
		if err == nil {
			count = len(found.Programs)
		}
		return err
	}))
	return count
}

// Though somebody outside may have the same addresses: of a network that the
// host's routing tables leave out, or where the host has come to a LAN like it.
func TestLeakGuardStopsUntranslatedPackets(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*datapath.Network){
		"nobody else has them": func(*datapath.Network) {},
		"unrouted":             func(n *datapath.Network) { n.Unrouted = true },
		"host overlap":         func(n *datapath.Network) { n.HostOverlap = []netip.Prefix{n.Subnet} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 1)
			n := r.Config.Networks[wire.RigNetwork]
			change(&n)
			r.Config.Networks[wire.RigNetwork] = n
			r.Apply(t)
			stopsLeaks(t, r)
		})
	}
}

func stopsLeaks(t *testing.T, r *dptest.Rig) {
	t.Helper()
	openTheGates(t, r)
	r.Mute(t, 0)
	remote := wire.Unanswered(7, 80)
	r.FromEndpoint(t, 0,
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: remote},
		wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4000), To: remote},
		wire.Segment{Protocol: model.TCP, Flags: wire.Rst, From: wire.Inside(0, 4000), To: remote},
		wire.Segment{Protocol: model.ICMP, From: wire.Inside(0, 77), To: remote},
		wire.Segment{Protocol: model.Protocol(47), From: wire.Inside(0, 0), To: remote, Payload: make([]byte, 20)},
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: remote, Fragment: 0x2000, Payload: make([]byte, 16)},
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: remote, Fragment: 100, Payload: make([]byte, 16)},
		wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: remote, Options: wire.IPOptions},
		wire.Segment{Protocol: model.UDP, From: wire.Inside(200, 4000), To: remote}) // no endpoint's
	r.Dropped(t, "untranslated-inside-source", 9)
	host := wire.Listen(t, r.Host, lab.HostAddress+":4000")
	host.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "marker")
	r.AtRemote.Await(t, "the host's own packet", 1, wire.Says("marker"))
	if n := len(r.Sessions(t)); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// The host itself may speak from its gateway address by mistake.
func TestHostDoesNotSpeakOutsideFromGatewayAddress(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 0)
	host := wire.Listen(t, r.Host, "172.16.1.1:4000")
	host.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), "leak")
	r.Dropped(t, "untranslated-inside-source", 1)
}

func TestInsideAddressesFromOutsideAreDropped(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	wire.Must(t, r.Host.Sysctl("net/ipv4/ip_forward", "1"))
	for _, conf := range []string{"all", lab.HostLink} { // else the host drops some by itself
		wire.Must(t, r.Host.Sysctl("net/ipv4/conf/"+conf+"/rp_filter", "0"))
	}
	var forged []wire.Segment
	remote, host := netip.AddrPortFrom(wire.RemoteAddress, 99), netip.AddrPortFrom(wire.HostAddress, 9)
	for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP, 47} {
		for _, s := range []wire.Segment{
			{From: remote, To: wire.Inside(0, 4000)},
			{From: remote, To: netip.MustParseAddrPort("172.16.1.1:22")}, // the gateway's
			{From: remote, To: netip.MustParseAddrPort("172.16.1.255:9")},
			{From: wire.Inside(0, 4000), To: host},
			{From: wire.Inside(0, 4000), To: wire.Inside(0, 4000)},
			{From: wire.Inside(99, 4000), To: wire.Unanswered(7, 80)},
		} {
			s.Protocol, s.Flags, s.Payload = p, wire.Syn, make([]byte, 8)
			forged = append(forged, s)
		}
	}
	r.FromRemote(t, forged...)
	r.Dropped(t, "inside-address-from-outside", uint64(len(forged)))
	const igmp = 2 // the host's own, about its bridge
	if got := r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Ether == wire.EtherIPv4 && p.Protocol != igmp }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	if n := len(r.Sessions(t)); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// What a LAN or a VPN of the host has of a network's subnet is outside for the
// host; but an endpoint would look for it on its own link.
func TestHostOverlapWithinASubnet(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	n := r.Config.Networks[wire.RigNetwork]
	n.HostOverlap = []netip.Prefix{netip.MustParsePrefix("172.16.1.128/25")}
	r.Config.Networks[wire.RigNetwork] = n
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	for _, conf := range []string{"all", lab.HostLink} { // the bridge's route is the rig's only one
		wire.Must(t, r.Host.Sysctl("net/ipv4/conf/"+conf+"/rp_filter", "0"))
	}
	host := wire.Listen(t, r.Host, lab.HostAddress+":4000")
	to, there, here := netip.AddrPortFrom(wire.HostAddress, 4000), netip.MustParseAddrPort("172.16.1.200:80"), netip.MustParseAddrPort("172.16.1.99:80")
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: here, To: to, Payload: []byte("here")},
		wire.Segment{Protocol: model.UDP, From: there, To: wire.Published, Payload: []byte("to the endpoint")},
		wire.Segment{Protocol: model.UDP, From: there, To: netip.MustParseAddrPort("172.16.1.1:4000"), Payload: []byte("to the gateway")},
		wire.Segment{Protocol: model.UDP, From: there, To: to, Payload: []byte("there")})
	if from := host.Expect(t, "there"); from != there {
		t.Errorf("the host got it from %v", from)
	}
	r.Dropped(t, "inside-address-from-outside", 3)
}

// What nobody asked for and no mapping wants is the host's, untouched (rule 8).
func TestHostsOwnTrafficPasses(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 0)
	ctx := wire.WithTimeout(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Host, network, lab.HostAddress+":5000")
		wire.Must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Remote, network, lab.HostAddress+":5000")
		if err != nil || seen.Addr() != wire.RemoteAddress {
			t.Errorf("%s to the host: %v, %v", network, seen, err)
		}
	}
	if _, err := lab.Ping(ctx, r.Remote, lab.HostAddress); err != nil {
		t.Error(err)
	}
	if _, err := lab.Ping(ctx, r.Host, lab.RemoteAddress); err != nil {
		t.Error(err)
	}
	if drops := r.Drops(t); len(drops) != 0 || !r.Empty(t) {
		t.Errorf("drops %v, sessions %+v", drops, r.Sessions(t))
	}
}

// A packet whose TTL runs out here is not forwarded, and no answer to it tells
// the outside of an inside address.
func TestExpiringTTLShowsNoInsideAddress(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
	server := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "80"))
	remote := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	to := netip.AddrPortFrom(wire.RemoteAddress, 7000)
	client.Send(t, to, "first")
	external := remote.Expect(t, "first")
	from := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: to, Payload: []byte("expired")}
	for _, ttl := range []byte{1, 2} {
		from.TTL = ttl
		r.FromEndpoint(t, 0, from)
		r.FromRemote(t,
			wire.Segment{Protocol: model.UDP, TTL: ttl, From: to, To: external, Payload: []byte("expired")},
			wire.Segment{Protocol: model.UDP, TTL: ttl, From: to, To: wire.Published, Payload: []byte("expired")})
	}
	remote.Expect(t, "expired") // the ones of TTL 2, which arrive with 1
	client.Expect(t, "expired")
	server.Expect(t, "expired")
	for _, w := range []*wire.Capture{r.AtRemote, r.AtEndpoint[0]} {
		for _, p := range w.Came(wire.Says("expired")) {
			if p.TTL != 1 {
				t.Errorf("%v to %v arrived with TTL %d", p.From, p.To, p.TTL)
			}
		}
	}
	if remote.Pending(0) || client.Pending(0) || server.Pending(0) {
		t.Error("a packet whose TTL had run out arrived")
	}
	if n := r.Drops(t)["hop-limit"]; n < 1 {
		t.Errorf("drops %v, want some for hop-limit", r.Drops(t))
	}
}
