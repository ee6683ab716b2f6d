package upgrade

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// Known are the sessions that were carried over before the switch, with their
// TCP states then.
type Known map[kernel.SessionKey]uint32

// readLiving reads sessions before bindings: one that opens meanwhile is then
// among neither, or its binding waits for it in vain and is left out.
func (u *Plan) readLiving() (*living, error) {
	l := &living{}
	var err error
	if l.sessions, err = read[kernel.SessionKey, kernel.Session](u, "sessions"); err != nil {
		return nil, err
	}
	if l.bindings, err = read[kernel.BindingKey, kernel.Binding](u, "bindings"); err != nil {
		return nil, err
	}
	l.index, _ = read[kernel.BindingIndexKey, kernel.WayOut](u, "binding_index") // dynamic ones follow from the bindings
	for key, s := range l.sessions {
		s.TimerTick = 0
		l.sessions[key] = s
	}
	return l, nil
}

func read[K comparable, V any](u *Plan, name string) (map[K]V, error) {
	if u.had[name] == nil {
		return make(map[K]V), nil
	}
	c, err := u.carrier(name)
	if err != nil {
		return nil, err
	}
	return typed[K, V](u.had[name], c)
}

func (l *living) write(o *kernel.Objects) error {
	queues, spares := l.spareTables()
	return errors.Join(
		putAll("sessions", o.Sessions, l.sessions), putAll("bindings", o.Bindings, l.bindings),
		l.writeIndex(o), putAll("filter_entries", o.FilterEntries, l.contacts),
		putAll("usages", o.Usages, l.usages), putAll("dependent_ports", o.DependentPorts, l.dependentPorts),
		putAll("dependent counts", o.DependentCount, l.dependentCount), putAll("port bits", o.PortBits, l.bits),
		putAll("spare queues", o.SpareQueues, queues), putAll("spare ports", o.SparePorts, spares),
	)
}

func (l *living) writeIndex(o *kernel.Objects) error {
	for index, way := range l.index {
		if err := kernel.AddWay(o, index, way); err != nil {
			return fmt.Errorf("carrying the binding index over: %w", err)
		}
	}
	return nil
}

// putAll adds many elements with few system calls.
func putAll[K comparable, V any](what string, m *ebpf.Map, values map[K]V) error {
	if uint64(len(values)) > uint64(m.MaxEntries()) {
		return fmt.Errorf("there are %d %s, and the new table has room for %d", len(values), what, m.MaxEntries())
	}
	const most = 1 << 20 // bytes
	var size V
	n := max(1, min(kernel.BatchSize, most/len(bytesOf(&size))))
	keys, list := make([]K, 0, n), make([]V, 0, n)
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		if err := kernel.PutAll(m, keys, list); err != nil {
			return fmt.Errorf("carrying %s over: %w", what, err)
		}
		keys, list = keys[:0], list[:0]
		return nil
	}
	for k, v := range values {
		if keys, list = append(keys, k), append(list, v); len(keys) < n {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return flush()
}
