package upgrade

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// Finish brings what the programs before did until the links were switched, and
// lets their tables go. seen is nil if a start before this one carried the rest.
func Finish(dir string, o *kernel.Objects, tables map[string]table, seen Known) error {
	had, err := PinnedMaps(OldDir(dir))
	if err != nil {
		return err
	}
	u := &Plan{dir: dir, had: had, Tables: tables}
	defer u.Close()
	if u.checkLiving(); len(u.lost) == 0 && differ(had["sessions"], o.Sessions) {
		if err := catchUp(o, u, seen); err != nil {
			return fmt.Errorf("carrying the last sessions of the version before over: %w", err)
		}
	}
	if differ(had["timers"], o.Timers) {
		if err := armSessions(o); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(OldDir(dir)); err != nil {
		return fmt.Errorf("removing the tables of the version before: %w", err)
	}
	return nil
}

// differ reports whether there was a map and it is not the one in use now.
func differ(was, now *ebpf.Map) bool {
	if was == nil {
		return false
	}
	a, errA := was.Info()
	b, errB := now.Info()
	if errA != nil || errB != nil {
		return true
	}
	idA, _ := a.ID()
	idB, _ := b.ID()
	return idA != idB
}

// catchUp adds the sessions that were opened between reading and the switch,
// and the state of those that went on meanwhile.
func catchUp(o *kernel.Objects, u *Plan, seen Known) error {
	l, err := u.readLiving()
	if err != nil {
		return err
	}
	for key, s := range l.sessions {
		state, known := seen[key]
		if known && state == s.State {
			continue
		}
		if err := adopt(o, l, key, s, known); err != nil {
			return err
		}
	}
	return nil
}

func adopt(o *kernel.Objects, l *living, key kernel.SessionKey, s kernel.Session, known bool) error {
	var now kernel.Session
	err := o.Sessions.Lookup(&key, &now)
	switch {
	case known && errors.Is(err, ebpf.ErrKeyNotExist):
		return nil // it has ended
	case known && now.LastRefreshed() <= s.LastRefreshed():
		const counted = kernel.SessionContact | kernel.SessionFilterEntry // where it counts in the new tables
		s.Flags = s.Flags&^counted | now.Flags&counted
		return kernel.Put(o.Sessions, &key, &s)
	case known || err == nil:
		return nil // newer here
	}
	return openSession(o, l, key, s)
}

// openSession enters a session as the data path would have. Whatever may count a
// session less than there is comes before the session.
func openSession(o *kernel.Objects, l *living, key kernel.SessionKey, s kernel.Session) error {
	if s.Flags&kernel.SessionEndpointDependent != 0 {
		k, v := dependentPortOf(key, s)
		if err := kernel.Update(o.DependentPorts, &k, &v, ebpf.UpdateNoExist); err != nil {
			return taken(err)
		}
		var n uint64
		_ = o.DependentCount.Lookup(&s.Nat, &n) // none yet: 0
		if n++; kernel.Put(o.DependentCount, &s.Nat, &n) != nil {
			return fmt.Errorf("counting endpoint-dependent sessions")
		}
	} else if joined, err := joinBinding(o, l, bindingOf(key, s)); !joined {
		return err
	}
	s = withFilterEntry(s)
	if s.Flags&kernel.SessionFilterEntry != 0 {
		k, v := filterEntryOf(key, s)
		if err := addTo(o.FilterEntries, k, v, func(c *kernel.FilterEntry) { c.Sessions++ }); err != nil {
			return err
		}
	}
	if s.Flags&kernel.SessionCounted != 0 {
		k := kernel.EndpointKey{Compartment: key.Compartment, Address: key.InternalAddress}
		if err := addTo(o.Usages, k, kernel.Usage{Sessions: 1}, func(u *kernel.Usage) { u.Sessions++ }); err != nil {
			return err
		}
	}
	return taken(kernel.Update(o.Sessions, &key, &s, ebpf.UpdateNoExist))
}

// joinBinding is false if the binding was gone before, too. A new one's port gets
// no bit: that is a hint, and writing it from here could bring a freed one back.
func joinBinding(o *kernel.Objects, l *living, key kernel.BindingKey) (bool, error) {
	b, ok := l.bindings[key]
	if !ok || b.Flags&(kernel.BindingEnded|kernel.BindingHoldDown) != 0 {
		return false, nil
	}
	b.Sessions, b.Hosts, b.Contacts = 1, 1, 0
	isNew := false
	if err := kernel.Update(o.Bindings, &key, &b, ebpf.UpdateNoExist); err == nil {
		isNew = true
	} else if !errors.Is(err, ebpf.ErrKeyExist) {
		return false, err
	}
	if !isNew {
		return true, addTo(o.Bindings, key, b, func(b *kernel.Binding) { b.Sessions++; b.Hosts++; b.Flags &^= kernel.BindingHoldDown })
	}
	if b.Flags&kernel.BindingConfigured != 0 {
		return true, nil
	}
	way := kernel.WayOut{Address: key.Address, Port: key.Port}
	if err := taken(kernel.AddWay(o, kernel.IndexOf(key, b), way)); err != nil {
		return true, err
	}
	if b.Flags&kernel.BindingCounted == 0 {
		return true, nil
	}
	k := kernel.EndpointKey{Compartment: b.Compartment, Address: b.InternalAddress}
	return true, addTo(o.Usages, k, kernel.Usage{Ports: 1}, func(u *kernel.Usage) { u.Ports++ })
}

// addTo changes an element under its lock, or makes it.
func addTo[K, V any](m *ebpf.Map, key K, first V, change func(*V)) error {
	err := kernel.Update(m, &key, &first, ebpf.UpdateNoExist)
	if !errors.Is(err, ebpf.ErrKeyExist) {
		return err
	}
	var now V
	if err := m.LookupWithFlags(&key, &now, ebpf.LookupLock); err != nil {
		return fmt.Errorf("reading an element of %v: %w", m, err)
	}
	change(&now)
	return kernel.Update(m, &key, &now, ebpf.UpdateExist|ebpf.UpdateLock)
}

// taken lets it be when the data path was faster.
func taken(err error) error {
	if errors.Is(err, ebpf.ErrKeyExist) {
		return nil
	}
	return err
}

// armSessions sets a timer for every session: the clock is a new one.
func armSessions(o *kernel.Objects) error {
	return kernel.EachSession(o, func(*kernel.SessionKey, *kernel.Session) bool { return true }, armSession)
}

// armSession ends a session that cannot have a timer: one that never expires is
// worse than none.
func armSession(o *kernel.Objects, key *kernel.SessionKey) error {
	err := kernel.AdoptSession(o, key)
	if model.CodeOf(err) == model.Unavailable {
		return kernel.EndSession(o, key, kernel.EndNoMemory)
	}
	return err
}
