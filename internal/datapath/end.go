package datapath

import (
	"fmt"
	"slices"
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

// endStaleSessions ends the sessions on external ports of the mappings ids that
// lead elsewhere than these do, or by another binding.
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
		to, mapped := target[key]
		if !mapped {
			key.Address = 0
			if to, mapped = target[key]; !mapped {
				return false
			}
		}
		throughAny := v.Flags&sessionAnyAddress != 0
		return throughAny != (key.Address == 0) || k.Compartment != to.Compartment ||
			k.InternalAddress != to.InternalAddress || k.InternalPort != to.InternalPort
	})
}

// orphans are what the configuration has lost, and whose sessions must end: the
// next endpoint with the address is another one.
type orphans struct {
	nats, networks []uint32
	addresses      []uint32 // the host's
	endpoints      []bpfEndpointKey
}

func (d *Datapath) endOrphans(gone orphans) error {
	if len(gone.nats)+len(gone.networks)+len(gone.endpoints) == 0 {
		return nil
	}
	return d.endSessionsIf(func(k *bpfSessionKey, v *bpfSession) bool {
		endpoint := bpfEndpointKey{Compartment: k.Compartment, Address: k.InternalAddress}
		return slices.Contains(gone.nats, v.Nat) || slices.Contains(gone.networks, v.Network) ||
			slices.Contains(gone.endpoints, endpoint)
	})
}

// endLost ends the sessions on external addresses that their NAT, or for
// mappings the host, does not have any more: no answer would find back.
func (d *Datapath) endLost(c Config) error {
	type natAddress struct{ nat, address uint32 }
	pools := make(map[natAddress]bool)
	known := hostAddressValues(c)
	for _, p := range c.Pools {
		for _, a := range p.Addresses {
			pools[natAddress{p.NAT, addressOf(a.Address)}] = true
			known[addressOf(a.Address)] = 1
		}
	}
	mapped := make(map[bpfBindingKey]bool)
	for id, m := range c.Mappings {
		key, _, _ := mappingKeys(id, m)
		mapped[key] = true
	}
	return d.endSessionsIf(func(k *bpfSessionKey, v *bpfSession) bool {
		if known[v.ExternalAddress] == 0 {
			return true
		}
		exact := bpfBindingKey{Address: v.ExternalAddress, Port: v.ExternalPort, Protocol: k.Protocol}
		isMapped := v.Flags&sessionAnyAddress != 0 || mapped[exact]
		return !isMapped && !pools[natAddress{v.Nat, v.ExternalAddress}]
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
