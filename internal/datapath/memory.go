package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/datapath/upgrade"
)

// The kernel charges what lives in the tables to the daemon's control group, where
// it cannot be reclaimed: tables without a bound let one endpoint's flood end the
// daemon. A full table refuses new flows, and says so.

// sessionBytes is more than a session takes in all tables, with a binding, an index and
// a filter entry of its own and a timer (606: docs/tables.md).
const sessionBytes = 768

// Of bpf/wheel.h: how many timers share an element, and how many slots may have one
// that is not full.
const (
	nodeTimers = len(kernel.TimerNode{}.Timers)
	wheelSlots = 4 * 4096
)

const (
	fewestSessions = 16384
	fewestBindings = 65536 // configured ones need room, too
)

// MaxMemory bounds what sessions take in the kernel, in bytes. Tables that are there
// already are made anew if they have another size; what they hold goes on.
func MaxMemory(bytes uint64) Option { return func(o *options) { o.memory = bytes } }

// fit makes the tables of what lives fit into so many bytes, but never smaller than
// what the pinned ones in dir hold.
func fit(spec *ebpf.CollectionSpec, dir string, bytes uint64) error {
	if bytes == 0 {
		return nil
	}
	living, err := upgrade.Count(dir, "sessions")
	if err != nil {
		return err
	}
	bound, err := upgrade.Count(dir, "bindings")
	if err != nil {
		return err
	}
	sessions := max(bytes/sessionBytes, fewestSessions, living+living/4) &^ 4095
	bindings := max(sessions, fewestBindings, bound+bound/4)
	for name, most := range map[string]uint64{
		"sessions": sessions, "filter_entries": sessions, "dependent_ports": sessions,
		"bindings": bindings, "binding_index": 2 * bindings, // a mapping on one address is entered twice
		"timers": 2*sessions/uint64(nodeTimers) + wheelSlots, // an old timer may wait for its slot beside the new one
	} {
		m := spec.Maps[name]
		if m == nil {
			return fmt.Errorf("the data path has no table %s", name)
		}
		m.MaxEntries = uint32(min(most, uint64(m.MaxEntries)))
	}
	return nil
}

// limitEndpoints gives each endpoint of a NAT without a limit of its own half of the
// table: one alone cannot take the others' room (RFC 6888 REQ-4).
func (d *Datapath) limitEndpoints(nats map[uint32]kernel.Nat) map[uint32]kernel.Nat {
	for id, n := range nats {
		if n.MaxSessions == 0 {
			n.MaxSessions = uint32(d.MaxSessions() / 2)
			nats[id] = n
		}
	}
	return nats
}
