package host

import (
	"testing"

	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
)

// TestOpenOwnTAP: hostnat's own TAP may be opened by one program after the other, and stays.
func TestOpenOwnTAP(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.On(t, n, func() error {
		tap := TAP{TAP: model.TAP{Made: true}, Name: "vm1", MTU: 1500}
		_, err := OpenOwnTAP(tap)
		hosttest.WantRefusal(t, err, model.NotFound, "vm1")
		if err := EnsureTAP(tap); err != nil {
			return err
		}
		for range 2 {
			file, err := OpenOwnTAP(tap)
			if err != nil {
				return err
			}
			_, err = OpenOwnTAP(tap)
			hosttest.WantRefusal(t, err, model.Conflict, "vm1")
			hosttest.Must(t, file.Close())
		}
		return nil
	})
}
