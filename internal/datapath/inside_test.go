package datapath

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// Both programs work by one element: the endpoint's, with the gateway's.
func TestInsideOfPointToPoint(t *testing.T) {
	t.Parallel()
	c := Config{
		Networks: map[uint32]Network{6: {
			Compartment: 6, NAT: 1, Bridge: 9, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
			GatewayMAC: "02:68:6e:80:00:03", EndpointsIsolated: true, Unrouted: true,
		}},
		Insides: map[uint32]Inside{9: {Network: 6, PointToPoint: true, Address: netip.MustParseAddr("172.16.1.2"), MAC: "02:00:00:00:00:77"}},
	}
	got := insideValues(c)[9]
	if got.Address != kernel.AddressOf(netip.MustParseAddr("172.16.1.2")) || got.Mac != kernel.MACOf(model.MAC("02:00:00:00:00:77")) ||
		got.GatewayMac != kernel.MACOf(model.MAC("02:68:6e:80:00:03")) || got.Flags != 2|4 || got.Compartment != 6 || got.Network != 6 {
		t.Errorf("%+v", got)
	}
	if n := networkValues(c)[6]; n.BridgeIfindex != 9 {
		t.Errorf("network %+v", n)
	}
}
