package datapath

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/internal/model"
)

// order returns the names of the programs of an interface's ingress, the first
// first.
func (r *rig) order(t *testing.T, index uint32) (names []string) {
	t.Helper()
	must(t, r.Host.Do(func() error {
		found, err := link.QueryPrograms(link.QueryOptions{Target: int(index), Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return err
		}
		for _, p := range found.Programs {
			program, err := ebpf.NewProgramFromID(p.ID)
			if err != nil {
				return err
			}
			info, err := program.Info()
			program.Close()
			if err != nil {
				return err
			}
			names = append(names, info.Name)
		}
		return nil
	}))
	return names
}

// On a link that is a network by itself the endpoint's own program comes first,
// whichever of the two somebody has detached. The other way round the host would
// see what has not been looked at.
func TestOrderOnIsland(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	var index uint32
	for i, in := range r.config.Insides {
		if !in.Bridge {
			index = i
		}
	}
	r.attach(t, index, PointToPointIngress)
	want := []string{"inside_ingress", "bridge_ingress"}
	if got := r.order(t, index); !slices.Equal(got, want) {
		t.Fatalf("programs %v, want %v", got, want)
	}
	for _, hook := range []Hook{InsideIngress, PointToPointIngress} {
		must(t, r.dp.Detach(Attachment{Interface: index, Hook: hook}))
		eventually(t, "detached program", func() bool { return r.programs(t, index) == 1 })
		r.attach(t, index, hook)
		if got := r.order(t, index); !slices.Equal(got, want) {
			t.Errorf("after %s was detached: programs %v, want %v", hook, got, want)
		}
	}
}

// Both programs work by one element: the endpoint's, with the gateway's.
func TestInsideOfIsland(t *testing.T) {
	t.Parallel()
	c := Config{
		Networks: map[uint32]Network{6: {
			Compartment: 6, NAT: 1, Bridge: 9, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
			GatewayMAC: "02:68:6e:80:00:03", KeptApart: true, Apart: true,
		}},
		Insides: map[uint32]Inside{9: {Network: 6, Island: true, Address: netip.MustParseAddr("172.16.1.2"), MAC: "02:00:00:00:00:77"}},
	}
	got := insideValues(c)[9]
	if got.Address != addressOf(netip.MustParseAddr("172.16.1.2")) || got.Mac != macOf(model.MAC("02:00:00:00:00:77")) ||
		got.GatewayMac != macOf(model.MAC("02:68:6e:80:00:03")) || got.Flags != 2|4 || got.Compartment != 6 || got.Network != 6 {
		t.Errorf("%+v", got)
	}
	if n := networkValues(c)[6]; n.BridgeIfindex != 9 {
		t.Errorf("network %+v", n)
	}
}
