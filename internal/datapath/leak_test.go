package datapath

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Design, rule 1: nothing leaks. Every rig looks for inside addresses outside
// (wire.checkLeaks); here is what would show some.

// openTheGates makes the host a router and takes the inside's programs off.
func (r *rig) openTheGates(t *testing.T) {
	t.Helper()
	must(t, r.Host.Sysctl("net/ipv4/ip_forward", "1"))
	for index, i := range r.config.Insides {
		hook := InsideIngress
		if i.Bridge {
			hook = BridgeIngress
		}
		must(t, r.dp.Detach(Attachment{Interface: index, Hook: hook}))
		eventually(t, "detached program", func() bool { return r.programs(t, index) == 0 }) // the kernel does it a little later
	}
}

// programs counts what is attached to an interface's ingress.
func (r *rig) programs(t *testing.T, index uint32) int {
	t.Helper()
	count := 0
	must(t, r.Host.Do(func() error {
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
	for name, change := range map[string]func(*Network){
		"nobody else has them": func(*Network) {},
		"apart":                func(n *Network) { n.Apart = true },
		"elsewhere":            func(n *Network) { n.Elsewhere = []netip.Prefix{n.Subnet} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			n := r.config.Networks[rigNetwork]
			change(&n)
			r.config.Networks[rigNetwork] = n
			r.apply(t)
			r.stopsLeaks(t)
		})
	}
}

func (r *rig) stopsLeaks(t *testing.T) {
	t.Helper()
	r.openTheGates(t)
	r.mute(t, 0)
	remote := stranger(7, 80)
	r.fromEndpoint(t, 0,
		segment{protocol: model.UDP, from: inside(0, 4000), to: remote},
		segment{protocol: model.TCP, flags: syn, from: inside(0, 4000), to: remote},
		segment{protocol: model.TCP, flags: rst, from: inside(0, 4000), to: remote},
		segment{protocol: model.ICMP, from: inside(0, 77), to: remote},
		segment{protocol: model.Protocol(47), from: inside(0, 0), to: remote, payload: make([]byte, 20)},
		segment{protocol: model.UDP, from: inside(0, 4000), to: remote, fragment: 0x2000, payload: make([]byte, 16)},
		segment{protocol: model.UDP, from: inside(0, 4000), to: remote, fragment: 100, payload: make([]byte, 16)},
		segment{protocol: model.UDP, from: inside(0, 4000), to: remote, options: ipOptions},
		segment{protocol: model.UDP, from: inside(200, 4000), to: remote}) // no endpoint's
	r.dropped(t, "untranslated-inside-source", 9)
	host := listen(t, r.Host, lab.HostAddress+":4000")
	host.send(t, netip.AddrPortFrom(remoteAddress, 7000), "marker")
	r.atRemote.await(t, "the host's own packet", 1, says("marker"))
	if n := len(r.sessions(t)); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// The host itself may speak from its gateway address by mistake.
func TestHostDoesNotSpeakOutsideFromGatewayAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	host := listen(t, r.Host, "172.16.1.1:4000")
	host.send(t, netip.AddrPortFrom(remoteAddress, 7000), "leak")
	r.dropped(t, "untranslated-inside-source", 1)
}

func TestInsideAddressesFromOutsideAreDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	must(t, r.Host.Sysctl("net/ipv4/ip_forward", "1"))
	for _, conf := range []string{"all", lab.HostLink} { // else the host drops some by itself
		must(t, r.Host.Sysctl("net/ipv4/conf/"+conf+"/rp_filter", "0"))
	}
	var forged []segment
	remote, host := netip.AddrPortFrom(remoteAddress, 99), netip.AddrPortFrom(hostAddress, 9)
	for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP, 47} {
		for _, s := range []segment{
			{from: remote, to: inside(0, 4000)},
			{from: remote, to: netip.MustParseAddrPort("172.16.1.1:22")}, // the gateway's
			{from: remote, to: netip.MustParseAddrPort("172.16.1.255:9")},
			{from: inside(0, 4000), to: host},
			{from: inside(0, 4000), to: inside(0, 4000)},
			{from: inside(99, 4000), to: stranger(7, 80)},
		} {
			s.protocol, s.flags, s.payload = p, syn, make([]byte, 8)
			forged = append(forged, s)
		}
	}
	r.fromRemote(t, forged...)
	r.dropped(t, "inside-address-from-outside", uint64(len(forged)))
	const igmp = 2 // the host's own, about its bridge
	if got := r.atEndpoint[0].came(func(p packet) bool { return p.ether == etherIPv4 && p.protocol != igmp }); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	if n := len(r.sessions(t)); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// What a LAN or a VPN of the host has of a network's subnet is outside for the
// host; but an endpoint would look for it on its own link.
func TestWhatTheHostHasElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	n := r.config.Networks[rigNetwork]
	n.Elsewhere = []netip.Prefix{netip.MustParsePrefix("172.16.1.128/25")}
	r.config.Networks[rigNetwork] = n
	r.config.Mappings[1] = mapping(model.UDP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	for _, conf := range []string{"all", lab.HostLink} { // the bridge's route is the rig's only one
		must(t, r.Host.Sysctl("net/ipv4/conf/"+conf+"/rp_filter", "0"))
	}
	host := listen(t, r.Host, lab.HostAddress+":4000")
	to, there, here := netip.AddrPortFrom(hostAddress, 4000), netip.MustParseAddrPort("172.16.1.200:80"), netip.MustParseAddrPort("172.16.1.99:80")
	r.fromRemote(t,
		segment{protocol: model.UDP, from: here, to: to, payload: []byte("here")},
		segment{protocol: model.UDP, from: there, to: published, payload: []byte("to the endpoint")},
		segment{protocol: model.UDP, from: there, to: netip.MustParseAddrPort("172.16.1.1:4000"), payload: []byte("to the gateway")},
		segment{protocol: model.UDP, from: there, to: to, payload: []byte("there")})
	if from := host.expect(t, "there"); from != there {
		t.Errorf("the host got it from %v", from)
	}
	r.dropped(t, "inside-address-from-outside", 3)
}

// What nobody asked for and no mapping wants is the host's, untouched (rule 8).
func TestHostsOwnTrafficPasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	ctx := withTimeout(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Host, network, lab.HostAddress+":5000")
		must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Remote, network, lab.HostAddress+":5000")
		if err != nil || seen.Addr() != remoteAddress {
			t.Errorf("%s to the host: %v, %v", network, seen, err)
		}
	}
	if _, err := lab.Ping(ctx, r.Remote, lab.HostAddress); err != nil {
		t.Error(err)
	}
	if _, err := lab.Ping(ctx, r.Host, lab.RemoteAddress); err != nil {
		t.Error(err)
	}
	if drops := r.drops(t); len(drops) != 0 || !r.empty(t) {
		t.Errorf("drops %v, sessions %+v", drops, r.sessions(t))
	}
}

// A packet whose TTL runs out here is not forwarded, and no answer to it tells
// the outside of an inside address.
func TestExpiringTTLShowsNoInsideAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.config.Mappings[1] = mapping(model.UDP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
	server := listen(t, r.Endpoints[0], text(endpointAddress(0), "80"))
	remote := listen(t, r.Remote, lab.RemoteAddress+":7000")
	to := netip.AddrPortFrom(remoteAddress, 7000)
	client.send(t, to, "first")
	external := remote.expect(t, "first")
	from := segment{protocol: model.UDP, from: inside(0, 4000), to: to, payload: []byte("expired")}
	for _, ttl := range []byte{1, 2} {
		from.ttl = ttl
		r.fromEndpoint(t, 0, from)
		r.fromRemote(t,
			segment{protocol: model.UDP, ttl: ttl, from: to, to: external, payload: []byte("expired")},
			segment{protocol: model.UDP, ttl: ttl, from: to, to: published, payload: []byte("expired")})
	}
	remote.expect(t, "expired") // the ones of TTL 2, which arrive with 1
	client.expect(t, "expired")
	server.expect(t, "expired")
	for _, w := range []*wire{r.atRemote, r.atEndpoint[0]} {
		for _, p := range w.came(says("expired")) {
			if p.ttl != 1 {
				t.Errorf("%v to %v arrived with TTL %d", p.from, p.to, p.ttl)
			}
		}
	}
	if remote.pending(0) || client.pending(0) || server.pending(0) {
		t.Error("a packet whose TTL had run out arrived")
	}
	if n := r.drops(t)["hop-limit"]; n < 1 {
		t.Errorf("drops %v, want some for hop-limit", r.drops(t))
	}
}
