package daemon

import (
	"context"

	"github.com/hostnat/hostnat/internal/store"
)

// Source is which configuration to restore.
type Source = store.Source

// Restore uses another configuration from the next start of the daemon on, while
// none runs.
func Restore(ctx context.Context, o Options, from Source) error {
	s, release, err := hold(ctx, o)
	if err != nil {
		return err
	}
	defer release()
	return s.Restore(from)
}
