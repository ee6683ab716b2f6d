package datapath

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/model"
)

// finish brings what the programs before did until the links were switched, and
// lets their tables go. seen is nil if a start before this one carried the rest.
func (d *Datapath) finish(tables map[string]table, seen known) error {
	had, err := pinnedMaps(oldDir(d.dir))
	if err != nil {
		return err
	}
	u := &upgrade{dir: d.dir, had: had, tables: tables}
	defer u.close()
	if u.checkLiving(); len(u.lost) == 0 && differ(had["sessions"], d.objects.Sessions) {
		if err := d.catchUp(u, seen); err != nil {
			return fmt.Errorf("carrying the last sessions of the version before over: %w", err)
		}
	}
	if differ(had["timers"], d.objects.Timers) {
		if err := d.armSessions(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(oldDir(d.dir)); err != nil {
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
func (d *Datapath) catchUp(u *upgrade, seen known) error {
	l, err := u.readLiving()
	if err != nil {
		return err
	}
	for key, s := range l.sessions {
		state, known := seen[key]
		if known && state == s.State {
			continue
		}
		if err := d.adopt(l, key, s, known); err != nil {
			return err
		}
	}
	return nil
}

func (d *Datapath) adopt(l *living, key bpfSessionKey, s bpfSession, known bool) error {
	var now bpfSession
	err := d.objects.Sessions.Lookup(&key, &now)
	switch {
	case known && errors.Is(err, ebpf.ErrKeyNotExist):
		return nil // it has ended
	case known && now.Refreshed <= s.Refreshed:
		return d.objects.Sessions.Put(&key, &s)
	case known || err == nil:
		return nil // newer here
	}
	return d.open(l, key, s)
}

// open enters a session as the data path would have. Whatever may count a
// session less than there is comes before the session.
func (d *Datapath) open(l *living, key bpfSessionKey, s bpfSession) error {
	o := &d.objects
	if s.Flags&sessionEndpointDependent != 0 {
		k, v := overflowOf(key, s)
		if err := o.DependentPorts.Update(&k, &v, ebpf.UpdateNoExist); err != nil {
			return taken(err)
		}
		var n uint64
		_ = o.DependentCount.Lookup(&s.Nat, &n) // none yet: 0
		if n++; o.DependentCount.Put(&s.Nat, &n) != nil {
			return fmt.Errorf("counting endpoint-dependent sessions")
		}
	} else if joined, err := d.joinBinding(l, bindingOf(key, s)); !joined {
		return err
	}
	if s.Flags&sessionFilterEntry != 0 {
		k, v := contactOf(key, s)
		if err := addTo(o.FilterEntries, k, v, func(c *bpfFilterEntry) { c.Sessions++ }); err != nil {
			return err
		}
	}
	if s.Flags&sessionCounted != 0 {
		k := bpfEndpointKey{Compartment: key.Compartment, Address: key.InternalAddress}
		if err := addTo(o.Usages, k, bpfUsage{Sessions: 1}, func(u *bpfUsage) { u.Sessions++ }); err != nil {
			return err
		}
	}
	return taken(o.Sessions.Update(&key, &s, ebpf.UpdateNoExist))
}

// joinBinding is false if the binding was gone before, too. A new one's port gets
// no bit: that is a hint, and writing it from here could bring a freed one back.
func (d *Datapath) joinBinding(l *living, key bpfBindingKey) (bool, error) {
	b, ok := l.bindings[key]
	if !ok || b.Flags&(bindingEnded|bindingHoldDown) != 0 {
		return false, nil
	}
	b.Sessions = 1
	isNew := false
	if err := d.objects.Bindings.Update(&key, &b, ebpf.UpdateNoExist); err == nil {
		isNew = true
	} else if !errors.Is(err, ebpf.ErrKeyExist) {
		return false, err
	}
	if !isNew {
		return true, addTo(d.objects.Bindings, key, b, func(b *bpfBinding) { b.Sessions++; b.Flags &^= bindingHoldDown })
	}
	if b.Flags&bindingConfigured != 0 {
		return true, nil
	}
	index, way := indexOf(key, b), bpfWayOut{Address: key.Address, Port: key.Port}
	if err := taken(d.objects.BindingIndex.Update(&index, &way, ebpf.UpdateNoExist)); err != nil {
		return true, err
	}
	if b.Flags&bindingCounted == 0 {
		return true, nil
	}
	k := bpfEndpointKey{Compartment: b.Compartment, Address: b.InternalAddress}
	return true, addTo(d.objects.Usages, k, bpfUsage{Ports: 1}, func(u *bpfUsage) { u.Ports++ })
}

// addTo changes an element under its lock, or makes it.
func addTo[K, V any](m *ebpf.Map, key K, first V, change func(*V)) error {
	err := m.Update(&key, &first, ebpf.UpdateNoExist)
	if !errors.Is(err, ebpf.ErrKeyExist) {
		return err
	}
	var now V
	if err := m.LookupWithFlags(&key, &now, ebpf.LookupLock); err != nil {
		return fmt.Errorf("reading an element of %v: %w", m, err)
	}
	change(&now)
	return m.Update(&key, &now, ebpf.UpdateExist|ebpf.UpdateLock)
}

// taken lets it be when the data path was faster.
func taken(err error) error {
	if errors.Is(err, ebpf.ErrKeyExist) {
		return nil
	}
	return err
}

// armSessions sets an alarm for every session: the clock is a new one.
func (d *Datapath) armSessions() error {
	return d.eachSession(func(*bpfSessionKey, *bpfSession) bool { return true }, d.armSession)
}

// armSession ends a session that cannot have an alarm: one that never expires is
// worse than none.
func (d *Datapath) armSession(key *bpfSessionKey) error {
	err := d.adoptSession(key)
	if model.CodeOf(err) == model.Unavailable {
		return d.endSession(key)
	}
	return err
}
