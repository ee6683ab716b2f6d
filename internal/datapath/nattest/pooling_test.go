package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 6888 REQ-2 and its opposite, by choice: with arbitrary pooling the ports
// of all addresses are used.
func TestPooling(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pooling   model.Pooling
		flows     int // of one endpoint that are let through
		addresses int
	}{
		{model.Paired, 3, 1},
		{model.Arbitrary, 6, 2},
	} {
		t.Run(string(tt.pooling), func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 1)
			r.SecondAddress(t)
			r.Mute(t, 0)
			ports := []model.PortRange{{Low: 5000, High: 5001}, {Low: 7000, High: 7000}} // disjoint
			r.Config.Pools[0].Addresses = []datapath.PoolAddress{
				{Address: wire.HostAddress, Ports: ports}, {Address: netip.MustParseAddr("203.0.113.10"), Ports: ports},
			}
			setNAT(t, r, func(n *model.NAT) { n.Pooling = tt.pooling })
			got := 0
			for port := uint16(4000); flow(t, r, model.UDP, port) != 0; port++ {
				got++
			}
			addresses := map[netip.Addr]bool{}
			for _, b := range r.Bindings(t) {
				addresses[b.External.Addr()] = true
			}
			if got != tt.flows || len(addresses) != tt.addresses {
				t.Errorf("%d flows on %v, want %d on %d", got, addresses, tt.flows, tt.addresses)
			}
			// A binding keeps its address and port (RFC 4787 REQ-1).
			for _, b := range r.Bindings(t) {
				r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: b.Internal, To: wire.Unanswered(9, 90)})
				r.AtRemote.Await(t, "second flow of a binding", 1, wire.Is(model.UDP, b.External, wire.Unanswered(9, 90)))
			}
			r.Consistent(t)
		})
	}
}
