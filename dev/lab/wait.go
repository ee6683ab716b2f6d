package lab

import (
	"context"
	"fmt"
	"time"
)

// WaitFor polls until cond holds, and fails when ctx ends first.
func WaitFor(ctx context.Context, cond func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("condition still not true: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}
