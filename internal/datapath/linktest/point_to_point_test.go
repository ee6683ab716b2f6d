package linktest

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
)

// order returns the names of the programs of an interface's ingress, the first
// first.
func order(t *testing.T, r *dptest.Rig, index uint32) (names []string) {
	t.Helper()
	wire.Must(t, r.Host.Do(func() error {
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
func TestOrderOnPointToPoint(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	var index uint32
	for i, in := range r.Config.Insides {
		if !in.Bridge {
			index = i
		}
	}
	r.Attach(t, index, datapath.PointToPointIngress)
	want := []string{"inside_ingress", "bridge_ingress"}
	if got := order(t, r, index); !slices.Equal(got, want) {
		t.Fatalf("programs %v, want %v", got, want)
	}
	for _, hook := range []datapath.Hook{datapath.InsideIngress, datapath.PointToPointIngress} {
		wire.Must(t, r.Datapath.Detach(datapath.Attachment{Interface: index, Hook: hook}))
		r.Attach(t, index, hook)
		if got := order(t, r, index); !slices.Equal(got, want) {
			t.Errorf("after %s was detached: programs %v, want %v", hook, got, want)
		}
	}
}
