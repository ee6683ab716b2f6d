package datapath

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
)

// endSession runs the data path's own end_session, which leaves the binding as
// an expiry would. A session that is gone already is no error.
func (d *Datapath) endSession(key *bpfSessionKey) error {
	const ethernet = 14
	frame := make([]byte, ethernet+int(unsafe.Sizeof(*key)))
	copy(frame[ethernet:], unsafe.Slice((*byte)(unsafe.Pointer(key)), unsafe.Sizeof(*key)))
	if _, err := d.objects.EndSession.Run(&ebpf.RunOptions{Data: frame}); err != nil {
		return fmt.Errorf("ending session %v: %w", toAddrPort(key.InternalAddress, key.InternalPort), err)
	}
	return nil
}

// endSessionsIf ends every session that the predicate picks.
func (d *Datapath) endSessionsIf(picks func(*bpfSessionKey, *bpfSession) bool) error {
	var doomed []bpfSessionKey
	err := each(d.objects.Sessions, func(k *bpfSessionKey, v *bpfSession) error {
		if picks(k, v) {
			doomed = append(doomed, *k)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the sessions: %w", err)
	}
	for i := range doomed {
		if err := d.endSession(&doomed[i]); err != nil {
			return err
		}
	}
	return nil
}

// endSessionsOf ends the sessions of bindings, and those that stand in the way
// of a new one: a key with address 0 means the port on every address.
func (d *Datapath) endSessionsOf(bindings map[bpfBindingKey]bool) error {
	return d.endSessionsIf(func(k *bpfSessionKey, v *bpfSession) bool {
		exact := bpfBindingKey{Address: v.ExternalAddress, Port: v.ExternalPort, Protocol: k.Protocol}
		anywhere := bpfBindingKey{Port: v.ExternalPort, Protocol: k.Protocol}
		if v.Flags&sessionAnyAddress != 0 {
			return bindings[anywhere]
		}
		return bindings[exact] || bindings[anywhere]
	})
}

// endStaleSessions ends sessions of the mappings ids that lead elsewhere than
// these do.
func (d *Datapath) endStaleSessions(ids []uint32, mappings map[uint32]Mapping) error {
	if len(ids) == 0 {
		return nil
	}
	target := make(map[bpfBindingKey]bpfBinding, len(ids))
	for _, id := range ids {
		key, value, _ := mappingKeys(id, mappings[id])
		target[key] = value
	}
	return d.endSessionsIf(func(k *bpfSessionKey, v *bpfSession) bool {
		key := bpfBindingKey{Address: v.ExternalAddress, Port: v.ExternalPort, Protocol: k.Protocol}
		if v.Flags&sessionAnyAddress != 0 {
			key.Address = 0
		}
		to, ok := target[key]
		return ok && (k.Compartment != to.Compartment || k.InternalAddress != to.InternalAddress || k.InternalPort != to.InternalPort)
	})
}

// EndSessions ends every session that the predicate picks, and returns the
// first error.
func (d *Datapath) EndSessions(picks func(Session) bool) error {
	clock := readClock()
	return d.endSessionsIf(func(k *bpfSessionKey, v *bpfSession) bool {
		return picks(toSession(k, v, clock))
	})
}
