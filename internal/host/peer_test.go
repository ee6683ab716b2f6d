package host

import (
	"slices"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
)

// TestPairsOn: of a container that does not run yet the link's other end is on the host.
func TestPairsOn(t *testing.T) {
	t.Parallel()
	n, other := hosttest.New(t), hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "here", n, "there"), lab.Veth(n, "away", other, "inside"), lab.Veth(n, "free", n, "end"))
	hosttest.Must(t, n.AddBridge("br0", "here", "away"))
	hosttest.On(t, n, func() error {
		names, err := PairsOn(t.Context(), "br0")
		if err != nil || !slices.Equal(names, []string{"here"}) {
			t.Errorf("ports whose other ends are on the host: %v, %v", names, err)
		}
		return nil
	})
}
