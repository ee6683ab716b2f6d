package linktest

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/attack"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

func contains(text string) func(wire.Packet) bool {
	return func(p wire.Packet) bool { return bytes.Contains(p.Data, []byte(text)) }
}

// newNewcomerRig is newSwitchRig into whose bridge machine 1 has just been plugged: no
// program is at its port yet.
func newNewcomerRig(t *testing.T, guarded bool) (r *dptest.Rig, port uint32) {
	t.Helper()
	r = newSwitchRig(t, guarded)
	port = wire.Ifindex(t, r.Host, dptest.HostSide(1))
	delete(r.Config.Insides, port)
	wire.Must(t, r.Host.Do(func() error {
		return r.Datapath.Detach(datapath.Attachment{Interface: port, Hook: datapath.PortIngress})
	}))
	r.Apply(t)
	return r, port
}

// atHost is what gets through to the host's own stack from a network's bridge. A socket
// for all protocols would see what comes before any program.
func atHost(t *testing.T, r *dptest.Rig) map[string]*wire.Capture {
	t.Helper()
	return map[string]*wire.Capture{
		"the host, ARP": wire.WatchProtocol(t, r.Host, "br1", wire.EtherARP), "the host, IPv4": wire.WatchProtocol(t, r.Host, "br1", wire.EtherIPv4),
		"the host, IPv6": wire.WatchProtocol(t, r.Host, "br1", wire.EtherIPv6), "the host, other": wire.WatchProtocol(t, r.Host, "br1", 0x88b5),
	}
}

// Nothing gets any further that comes by a port whose program is not there yet, be it an
// attack or not; all that comes before and after does.
func TestNewcomerIsUnheard(t *testing.T) {
	t.Parallel()
	r, port := newNewcomerRig(t, true)
	muted := map[string]*wire.Capture{"the endpoint": r.AtEndpoint[0], "the neighbour": r.AtEndpoint[2], "outside": r.AtRemote}
	for name, w := range atHost(t, r) {
		muted[name] = w
	}
	frames := [][]byte{
		wire.Ethernet(attacker, neighbour, 0x88b5, make([]byte, 46)), wire.Ethernet(attacker, "ff:ff:ff:ff:ff:ff", 0x88b5, make([]byte, 46)),
		wire.Ethernet(attacker, wire.GatewayMAC, 0x88b5, make([]byte, 46)),
		wire.Ethernet(wire.GatewayMAC, neighbour, 0x88b5, make([]byte, 46)),
	}
	for _, a := range attacks() {
		frames = append(frames, a.Data)
	}
	toBridge := 0
	for _, f := range frames {
		if f[0] != 1 || f[1] != 0x80 { // the bridge keeps what is between bridges to itself
			toBridge++
		}
		r.Send(t, r.Endpoints[1], "eth0", append(f[:len(f):len(f)], attack.Mark...))
	}
	wire.Eventually(t, "the frames to be refused", func() bool { return r.Drops(t)["unchecked-port"] >= uint64(toBridge) })
	for name, w := range muted {
		for _, p := range w.Came(isForged) {
			t.Errorf("%s got %x", name, p.Data)
		}
	}

	// What others say gets through meanwhile, and what the newcomer says does from then on.
	says := func(i int, from model.MAC, text string) {
		r.Send(t, r.Endpoints[i], "eth0", append(wire.Ethernet(from, "ff:ff:ff:ff:ff:ff", 0x88b5, make([]byte, 46)), text...))
	}
	says(2, neighbour, "by the neighbour")
	heard := func(text string, by map[string]*wire.Capture) {
		t.Helper()
		for name, w := range by {
			wire.Eventually(t, text+" at "+name, func() bool { return len(w.Came(contains(text))) == 1 })
		}
	}
	heard("by the neighbour", map[string]*wire.Capture{"the endpoint": r.AtEndpoint[0], "the newcomer": r.AtEndpoint[1], "the host": muted["the host, other"]})
	r.Config.Insides[port] = datapath.Inside{Network: wire.RigNetwork, Port: true}
	r.Attach(t, port, datapath.PortIngress, datapath.PortEgress)
	r.Apply(t)
	says(1, attacker, "by the newcomer")
	heard("by the newcomer", map[string]*wire.Capture{"the endpoint": r.AtEndpoint[0], "the neighbour": r.AtEndpoint[2], "the host": muted["the host, other"]})
}

// With port-security=off the switch is a plain one from the first frame on.
func TestNewcomerOnAPlainSwitch(t *testing.T) {
	t.Parallel()
	r, _ := newNewcomerRig(t, false)
	host := wire.WatchProtocol(t, r.Host, "br1", 0x88b5)
	for _, w := range []*wire.Capture{r.AtEndpoint[0], r.AtEndpoint[2], host} {
		w.ExpectWrong(isForged)
	}
	r.Send(t, r.Endpoints[1], "eth0", append(wire.Ethernet(attacker, "ff:ff:ff:ff:ff:ff", 0x88b5, make([]byte, 46)), attack.Mark...))
	for _, w := range []*wire.Capture{r.AtEndpoint[0], r.AtEndpoint[2], host} {
		w.Await(t, "the newcomer's frame", 1, isForged)
	}
	if n := r.Drops(t)["unchecked-port"]; n != 0 {
		t.Errorf("%d frames are refused", n)
	}
}

// A port that goes from one switch to another is one of the other when its row says so:
// what was looked at for the one is not taken for looked at for the other.
func TestPortThatChangesItsSwitch(t *testing.T) {
	t.Parallel()
	r := newSwitchRig(t, true)
	r.AddNetwork(t, wire.RigNetwork+1, "br2", datapath.Network{
		Compartment: wire.RigCompartment + 1, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.9.0/24"),
		Gateway: netip.MustParseAddr("172.16.9.1"), GatewayMAC: "02:00:00:00:09:01",
	})
	r.Apply(t)
	wire.Must(t, r.Host.Enslave(dptest.HostSide(1), "br2"))
	wire.Must(t, r.Host.Enslave(dptest.HostSide(2), "br2"))
	index := wire.Ifindex(t, r.Host, dptest.HostSide(2))
	r.Config.Insides[index] = datapath.Inside{Network: wire.RigNetwork + 1, Port: true}
	r.Apply(t)
	before := r.Drops(t)["unchecked-port"]
	r.Send(t, r.Endpoints[1], "eth0", append(wire.Ethernet(attacker, "ff:ff:ff:ff:ff:ff", 0x88b5, make([]byte, 46)), attack.Mark...))
	wire.Eventually(t, "the frame to be refused on both ways", func() bool { return r.Drops(t)["unchecked-port"] == before+2 })
	if got := r.AtEndpoint[2].Came(isForged); len(got) != 0 {
		t.Errorf("%x", got[0].Data)
	}
}

// What the host forwards to a port that is no attached endpoint's arrives there: of what it
// has not made itself the bridge's own program says that it is the host's.
func TestForwardedToAPort(t *testing.T) {
	t.Parallel()
	r := newSwitchRig(t, true)
	wire.Must(t, r.Host.Sysctl("net/ipv4/ip_forward", "1"))
	wire.Must(t, r.Host.Sysctl("net/ipv4/conf/br1/forwarding", "1"))
	bridge := wire.Ifindex(t, r.Host, "br1")
	r.Attach(t, bridge, datapath.BridgeEgress)
	other, err := lab.NewNamespace("other")
	wire.Must(t, err)
	t.Cleanup(func() { other.Close() })
	wire.Must(t, lab.Veth(r.Host, "beside", other, "eth0"))
	wire.Must(t, r.Host.AddAddress("beside", "10.9.0.1/24"))
	wire.Must(t, other.AddAddress("eth0", "10.9.0.2/24"))
	wire.Must(t, other.AddRoute("172.16.1.0/24", "10.9.0.1"))
	wire.Must(t, r.Endpoints[2].AddAddress("eth0", netip.PrefixFrom(atNeighbour, 24).String()))
	server := wire.Listen(t, r.Endpoints[2], netip.AddrPortFrom(atNeighbour, 5000).String())
	wire.Listen(t, other, "10.9.0.2:0").Send(t, netip.AddrPortFrom(atNeighbour, 5000), "forwarded")
	server.Expect(t, "forwarded")
	if n := r.Drops(t)["unchecked-port"]; n != 0 {
		t.Errorf("%d frames are refused", n)
	}
}
