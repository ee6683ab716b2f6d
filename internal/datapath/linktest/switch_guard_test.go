package linktest

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/attack"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

const (
	attacker  = model.MAC("02:00:00:00:01:03") // of namespace 1, at a plugged-in port
	neighbour = model.MAC("02:00:00:00:01:04") // of namespace 2, at another
)

var (
	atGateway   = netip.MustParseAddr("172.16.1.1")
	atNeighbour = netip.MustParseAddr("172.16.1.78")
)

// newSwitchRig has endpoint 0, attached, and the namespaces 1 and 2, which are
// plugged into its bridge; the neighbour, 2, has been heard of.
func newSwitchRig(t *testing.T, guarded bool) *dptest.Rig {
	t.Helper()
	r := dptest.NewBareRig(t, 3)
	r.AddNetwork(t, wire.RigNetwork, "br1", datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: atGateway, GatewayMAC: wire.GatewayMAC, Unguarded: !guarded,
	})
	r.AddEndpoint(t, 0, wire.RigNetwork, wire.EndpointAddress(0))
	for i, a := range map[int]netip.Addr{1: unmanaged.Addr(), 2: atNeighbour} {
		_, index := r.Plug(t, i, wire.RigNetwork, a)
		r.Config.Insides[index] = datapath.Inside{Network: wire.RigNetwork, Port: true}
		r.Attach(t, index, datapath.PortIngress, datapath.PortEgress)
	}
	r.Apply(t)
	muteAt(t, r, 1, unmanaged.Addr())
	muteAt(t, r, 2, atNeighbour)
	r.Send(t, r.Endpoints[2], "eth0", sent(neighbour, arp(1, neighbour, atNeighbour, atGateway)))
	r.AtEndpoint[0].Await(t, "the neighbour's ARP", 1, func(p wire.Packet) bool {
		return p.Ether == wire.EtherARP && bytes.Equal(p.Data[6:12], wire.Hardware(neighbour))
	})
	return r
}

// attacks are those of the plugged-in machine 1.
func attacks() []attack.Frame {
	return attack.Frames(attack.Parties{
		Attacker:  attack.Station{MAC: attacker, Address: unmanaged.Addr()},
		Endpoint:  attack.Station{MAC: dptest.EndpointMAC(0), Address: wire.EndpointAddress(0)},
		Neighbour: attack.Station{MAC: neighbour, Address: atNeighbour},
		Gateway:   attack.Station{MAC: wire.GatewayMAC, Address: atGateway},
	})
}

func isForged(p wire.Packet) bool { return bytes.Contains(p.Data, []byte(attack.Mark)) }

// No attack arrives anywhere, however it is wrapped, and each is told by name.
func TestSwitchRefusesAttacks(t *testing.T) {
	t.Parallel()
	r := newSwitchRig(t, true)
	bridge := wire.Watch(t, r.Host, "br1")
	for _, envelope := range attack.Envelopes {
		for _, a := range attacks() {
			reason := envelope.Refusal(a)
			before := r.Drops(t)[reason]
			r.Send(t, r.Endpoints[1], "eth0", envelope.Wrapped(a))
			wire.Eventually(t, a.Name+" in "+envelope.Name+" to be refused as "+reason, func() bool { return r.Drops(t)[reason] == before+1 })
		}
	}
	for name, w := range map[string]*wire.Capture{"the endpoint": r.AtEndpoint[0], "the neighbour": r.AtEndpoint[2], "the bridge": bridge, "outside": r.AtRemote} {
		for _, p := range w.Came(isForged) {
			t.Errorf("%s got %x", name, p.Data)
		}
	}
}

// With port-security=off the switch is a plain one: what is for somebody else or
// for all goes there.
func TestSwitchWithoutGuardForwardsAll(t *testing.T) {
	t.Parallel()
	r := newSwitchRig(t, false)
	for _, i := range []int{0, 2} {
		r.AtEndpoint[i].ExpectWrong(isForged)
	}
	for _, a := range attacks() {
		gateway := wire.Hardware(wire.GatewayMAC)
		if a.Reason == "bridge-protocol" || a.Data[6]&1 != 0 || bytes.Equal(a.Data[:6], gateway) || bytes.Equal(a.Data[6:12], gateway) {
			continue // a bridge keeps these to itself; the host has its own checks
		}
		if a.Reason == "mac-elsewhere" {
			continue // a bridge believes it: what is for that MAC goes to the attacker from then on
		}
		came := func() int { return len(r.AtEndpoint[0].Came(isForged)) + len(r.AtEndpoint[2].Came(isForged)) }
		before := came()
		r.Send(t, r.Endpoints[1], "eth0", append(slices.Clone(a.Data), attack.Mark...))
		wire.Eventually(t, a.Name, func() bool { return came() > before })
	}
}

// A port has 64 MACs and no more, so that a flood of invented ones does not fill
// the table, and a neighbour is forwarded to as before.
func TestFloodOfMACsStaysAtItsPort(t *testing.T) {
	t.Parallel()
	const flood, most = 1000, 64
	r := newSwitchRig(t, true)
	for i := range flood {
		mac := model.MAC(wire.Hardware("02:66:00:00:00:00").String()[:12] + hexByte(byte(i>>8)) + ":" + hexByte(byte(i)))
		r.Send(t, r.Endpoints[1], "eth0", append(wire.Ethernet(mac, dptest.EndpointMAC(0), 0x88b5, make([]byte, 46)), attack.Mark...))
	}
	r.Dropped(t, "port-limit", flood-most)
	if got := len(r.AtEndpoint[0].Await(t, "frames with the first MACs", most, isForged)); got != most {
		t.Errorf("%d invented MACs are forwarded from, want %d", got, most)
	}
	r.Send(t, r.Endpoints[2], "eth0", sent(neighbour, arp(1, neighbour, atNeighbour, wire.EndpointAddress(0))))
	r.AtEndpoint[2].Await(t, "an answer to the neighbour", 1, func(p wire.Packet) bool {
		return p.Ether == wire.EtherARP && p.Data[21] == 2 && bytes.Equal(p.Data[22:28], wire.Hardware(dptest.EndpointMAC(0)))
	})
}

func hexByte(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}
