package reconcile

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// Sessions yields the kernel's sessions that are selected, in no order, as they are
// read: nothing is kept of them.
func (k *Kernel) Sessions(ctx context.Context, selected model.Selection) iter.Seq2[model.Session, error] {
	names := k.lastNames()
	where, any := names.where(&selected)
	return stream(ctx, any, func(visit func(model.Session) error) error {
		return k.datapath.SessionsWhere(where, func(s datapath.Session) error {
			if out := names.session(s); selected.Session(&out) {
				return visit(out)
			}
			return nil
		})
	})
}

// Bindings yields the kernel's bindings that are selected, configured ones too, in
// no order, as they are read.
func (k *Kernel) Bindings(ctx context.Context, selected model.Selection) iter.Seq2[model.Binding, error] {
	names := k.lastNames()
	where, any := names.where(&selected)
	return stream(ctx, any, func(visit func(model.Binding) error) error {
		return k.datapath.BindingsWhere(where, func(b datapath.Binding) error {
			if out := names.binding(b); selected.Binding(&out) {
				return visit(out)
			}
			return nil
		})
	})
}

// errStopped is what a visitor ends the reading of a table with who has enough.
var errStopped = errors.New("enough was read")

// stream makes an iterator of a function that visits. Any is false if there is
// nothing to visit.
func stream[T any](ctx context.Context, any bool, read func(visit func(T) error) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if !any {
			return
		}
		err := read(func(v T) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !yield(v, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			var none T
			yield(none, err)
		}
	}
}

// where is what of a selection can be told from the kernel's ids. Any is false if
// nothing can be selected: what is named does not exist.
func (n names) where(selected *model.Selection) (where datapath.Where, any bool) {
	where.Protocol = selected.Protocol
	if selected.NAT != "" {
		if where.NAT, any = idOf(n.nats, selected.NAT); !any {
			return where, false
		}
	}
	if selected.Network != "" && !n.severalIDs(selected.Network) {
		if where.Network, any = idOf(n.networks, selected.Network); !any {
			return where, false
		}
	}
	if selected.Endpoint == "" {
		return where, true
	}
	if slices.ContainsFunc(n.behind, func(b behind) bool { return b.endpoint == selected.Endpoint }) {
		return where, true
	}
	for at, name := range n.endpoints {
		if name == selected.Endpoint && at.address.Is4() {
			where.Insides = append(where.Insides, datapath.Inside4{Compartment: at.compartment, Address: at.address.As4()})
		}
	}
	return where, len(where.Insides) > 0
}

// severalIDs reports whether a network's name stands for several of the kernel's: its
// endpoints are by themselves.
func (n names) severalIDs(network string) bool {
	count := 0
	for _, name := range n.networks {
		if name == network {
			count++
		}
	}
	return count > 1
}

func idOf(names map[uint32]string, name string) (uint32, bool) {
	for id, has := range names {
		if has == name {
			return id, true
		}
	}
	return 0, false
}
