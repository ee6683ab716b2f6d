package host

import (
	"net"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
)

// TestPairOf: of a container that does not run yet the link's other end is on the host.
func TestPairOf(t *testing.T) {
	t.Parallel()
	n, other := hosttest.New(t), hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "here", n, "there"), lab.Veth(n, "away", other, "inside"))
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	hosttest.Must(t, n.SetMAC("there", mac), other.SetMAC("inside", net.HardwareAddr{2, 0, 0, 0, 0, 2}))
	hosttest.On(t, n, func() error {
		name, err := PairOf(t.Context(), "02:00:00:00:00:01")
		if err != nil || name != "here" {
			t.Errorf("the other end of there is %q, %v", name, err)
		}
		_, err = PairOf(t.Context(), "02:00:00:00:00:02")
		hosttest.WantRefusal(t, err, model.NotFound, "02:00:00:00:00:02")
		return nil
	})
}
