package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// fromNetwork sends to the gateway of the endpoint's own network.
func fromNetwork(t *testing.T, r *dptest.Rig, endpoint int, segments ...wire.Segment) {
	t.Helper()
	gateway := []model.MAC{wire.GatewayMAC, wire.SecondMAC}[endpoint]
	var frames [][]byte
	for _, s := range segments {
		frames = append(frames, wire.Ethernet(dptest.EndpointMAC(endpoint), gateway, wire.EtherIPv4, s.IP()))
	}
	r.Send(t, r.Endpoints[endpoint], "eth0", frames...)
}

// closeAll opens connections of an endpoint from ports of its own, first and following
// ones, and has the remote reset them.
func closeAll(t *testing.T, r *dptest.Rig, endpoint int, from netip.Addr, first, count uint16) {
	t.Helper()
	mine := func(s datapath.Session) bool {
		return s.Internal.Addr() == from && s.Internal.Port() >= first && s.Internal.Port() < first+count
	}
	all := func(state model.TCPState) func() bool {
		return func() bool {
			n := uint16(0)
			for _, s := range r.Sessions(t) {
				if mine(s) && s.State == state {
					n++
				}
			}
			return n == count
		}
	}
	remote := wire.Unanswered(7, 80)
	var syns, answers []wire.Segment
	for port := first; port < first+count; port++ {
		syns = append(syns, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: netip.AddrPortFrom(from, port), To: remote})
	}
	fromNetwork(t, r, endpoint, syns...)
	wire.Eventually(t, "connections", all(model.StateInternalSYN))
	for _, s := range r.Sessions(t) {
		if mine(s) {
			answers = append(answers, wire.Segment{Protocol: model.TCP, Flags: wire.SynAck, From: remote, To: s.External},
				wire.Segment{Protocol: model.TCP, Flags: wire.Rst, From: remote, To: s.External})
		}
	}
	r.FromRemote(t, answers...)
	wire.Eventually(t, "closed connections", all(model.StateTimeWait))
}

// RFC 6888 REQ-8: a NAT that has used its ports up finds its own closed connections,
// whatever other NATs have closed before and since, on the same address too.
func TestClosedConnectionsOfOthersAreNotInTheWay(t *testing.T) {
	t.Parallel()
	const second = wire.RigNAT + 10
	for name, sameAddress := range map[string]bool{"another address": false, "same address": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quiet := netip.MustParseAddr("172.16.2.2")
			r := dptest.NewTwoNetworkRig(t, datapath.Network{
				Compartment: wire.RigCompartment, NAT: second, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
			}, quiet.String())
			r.Mute(t, 0)
			wire.Must(t, r.Endpoints[1].DeleteAddress("eth0", quiet.String()+"/24"))
			r.Config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 10000, High: 12999}}
			r.Config.Pools[1].Addresses[0].Ports = []model.PortRange{{Low: 5000, High: 5001}}
			if sameAddress {
				r.Config.Pools[1].Addresses[0].Address = r.Config.Pools[0].Addresses[0].Address
			}
			r.Apply(t)
			closeAll(t, r, 0, wire.EndpointAddress(0), 4000, 1000)
			closeAll(t, r, 1, quiet, 4000, 2)
			closeAll(t, r, 0, wire.EndpointAddress(0), 5000, 1000)
			fromNetwork(t, r, 1, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: netip.AddrPortFrom(quiet, 4100), To: wire.Unanswered(7, 80)})
			r.AtRemote.Await(t, "the quiet NAT's connection", 1, func(p wire.Packet) bool {
				return p.Protocol == model.TCP && p.Flags == wire.Syn && p.To == wire.Unanswered(7, 80) && p.From.Port() == 5000
			})
			r.Dropped(t, "out-of-ports", 0)
			closed := 0
			for _, s := range r.Sessions(t) {
				if s.State == model.StateTimeWait {
					closed++
				}
			}
			if closed != 2001 {
				t.Errorf("%d closed connections are left, want 2001: only the quiet NAT's oldest gives way", closed)
			}
		})
	}
}
