package daemon

import (
	"context"

	"github.com/hostnat/hostnat/internal/store"
)

// Source is which configuration to restore.
type Source = store.Source

// Undecided says why no configuration is in force, and which ones could be.
type Undecided = store.Undecided

// Choices returns nil if the configuration is in order. It changes nothing.
func Choices(ctx context.Context, o Options) (*Undecided, error) {
	sight, err := store.Look(o.store(ctx))
	return sight.Undecided, err
}

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
