package host

import (
	"os"
	"strconv"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

func TestClaimHost(t *testing.T) {
	t.Parallel()
	n, other := newHost(t), newHost(t)
	var first *Claim
	on(t, n, func() (err error) { first, err = ClaimHost(); return err })
	for range 3 {
		on(t, n, func() error {
			_, err := ClaimHost()
			wantRefusal(t, err, model.Conflict, "pid "+strconv.Itoa(os.Getpid()))
			return nil
		})
	}
	on(t, other, func() error {
		c, err := ClaimHost()
		if err == nil {
			c.Release()
		}
		return err
	})
	first.Release()
	on(t, n, func() error {
		c, err := ClaimHost()
		if err == nil {
			c.Release()
		}
		return err
	})
}
