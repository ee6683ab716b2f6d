package self

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
)

func TestClaimHost(t *testing.T) {
	t.Parallel()
	n, other := hosttest.New(t), hosttest.New(t)
	var first *Claim
	hosttest.On(t, n, func() (err error) { first, err = ClaimHost(); return err })
	for range 3 {
		hosttest.On(t, n, func() error {
			_, err := ClaimHost()
			hosttest.WantRefusal(t, err, model.Conflict, "pid "+strconv.Itoa(os.Getpid()))
			return nil
		})
	}
	hosttest.On(t, other, func() error {
		c, err := ClaimHost()
		if err == nil {
			c.Release()
		}
		return err
	})
	first.Release()
	hosttest.On(t, n, func() error {
		c, err := ClaimHost()
		if err == nil {
			c.Release()
		}
		return err
	})
}

// A process that is being started has the claim's socket for a moment after it was
// released. That is not another daemon.
func TestReleaseWhileAProcessStarts(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.On(t, n, func() error {
		first, err := ClaimHost()
		if err != nil {
			return err
		}
		inherited, err := first.listener.File()
		if err != nil {
			return err
		}
		first.Release()
		runs := time.AfterFunc(200*time.Millisecond, func() { _ = inherited.Close() })
		defer runs.Stop()
		c, err := ClaimHost()
		if err == nil {
			c.Release()
		}
		return err
	})
}
