package host

import (
	"context"
	"errors"

	"github.com/vishvananda/netlink"
)

// Dump repeats a netlink listing that the kernel says changed half-way, which
// on a busy host is common. It ends with ctx.
func Dump[T any](ctx context.Context, list func() (T, error)) (T, error) {
	for {
		got, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return got, err
		}
		if ctx.Err() != nil {
			return got, context.Cause(ctx)
		}
	}
}
