package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Session is a session as the kernel has it: ids instead of names.
type Session struct {
	NAT, Network, Compartment  uint32
	Protocol                   model.Protocol
	Internal, External, Remote netip.AddrPort
	State                      model.TCPState
	Created                    time.Time
	Left                       time.Duration // until it ends if nothing is sent
	PacketsOut, BytesOut       uint64
	PacketsIn, BytesIn         uint64
}

// Binding is a binding as the kernel has it: ids instead of names.
type Binding struct {
	NAT, Network, Compartment uint32
	Protocol                  model.Protocol
	Internal, External        netip.AddrPort
	Sessions                  uint32
	Configured                bool
}

// batchSize is how many elements are read with one system call.
const batchSize = 1024

// each calls visit for every element of a hash map. Elements that come or go
// meanwhile may be seen or not.
func each[K, V any](m *ebpf.Map, visit func(*K, *V) error) error {
	keys, values := make([]K, batchSize), make([]V, batchSize)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
		for i := range n {
			if visitErr := visit(&keys[i], &values[i]); visitErr != nil {
				return visitErr
			}
		}
		if err != nil {
			return nil // ErrKeyNotExist: that was the end
		}
	}
}

// eachSession calls do for the key of every session that the predicate picks, once
// all are read: do may end it.
func (d *Datapath) eachSession(picks func(*bpfSessionKey, *bpfSession) bool, do func(*bpfSessionKey) error) error {
	var keys []bpfSessionKey
	err := each(d.objects.Sessions, func(k *bpfSessionKey, v *bpfSession) error {
		if picks(k, v) {
			keys = append(keys, *k)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the sessions: %w", err)
	}
	for i := range keys {
		if err := do(&keys[i]); err != nil {
			return err
		}
	}
	return nil
}

// Sessions calls visit for every session.
func (d *Datapath) Sessions(visit func(Session) error) error {
	clock := readClock()
	err := each(d.objects.Sessions, func(k *bpfSessionKey, v *bpfSession) error {
		return visit(toSession(k, v, clock))
	})
	if err != nil {
		return fmt.Errorf("reading the sessions: %w", err)
	}
	return nil
}

// Bindings calls visit for every binding, configured ones too: of a range those
// ports that sessions use.
func (d *Datapath) Bindings(visit func(Binding) error) error {
	err := each(d.objects.Bindings, func(k *bpfBindingKey, v *bpfBinding) error {
		if v.Flags&bindingHoldDown != 0 {
			return nil // its port rests: nobody's
		}
		return visit(Binding{
			NAT: v.Nat, Network: v.Network, Compartment: v.Compartment,
			Protocol:   model.Protocol(k.Protocol),
			Internal:   toAddrPort(v.InternalAddress, v.InternalPort),
			External:   toAddrPort(k.Address, k.Port),
			Sessions:   v.Sessions,
			Configured: v.Flags&bindingConfigured != 0,
		})
	})
	if err != nil {
		return fmt.Errorf("reading the bindings: %w", err)
	}
	return nil
}

func toSession(k *bpfSessionKey, v *bpfSession, clock clock) Session {
	ends := clock.time(v.Refreshed).Add(time.Duration(v.Lifetime) * time.Second)
	return Session{
		NAT: v.Nat, Network: v.Network, Compartment: k.Compartment,
		Protocol:   model.Protocol(k.Protocol),
		Internal:   toAddrPort(k.InternalAddress, k.InternalPort),
		External:   toAddrPort(v.ExternalAddress, v.ExternalPort),
		Remote:     toAddrPort(k.RemoteAddress, k.RemotePort),
		State:      model.TCPState(v.State),
		Created:    clock.time(v.Created),
		Left:       max(0, ends.Sub(clock.wall)),
		PacketsOut: v.PacketsOut, BytesOut: v.BytesOut,
		PacketsIn: v.PacketsIn, BytesIn: v.BytesIn,
	}
}

// clock ties the kernel's monotonic time to the wall's.
type clock struct {
	wall      time.Time
	monotonic int64 // ns
}

func readClock() clock {
	var ts unix.Timespec
	// Cannot fail for CLOCK_MONOTONIC on Linux.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return clock{wall: time.Now(), monotonic: ts.Nano()}
}

func (c clock) time(monotonic uint64) time.Time {
	return c.wall.Add(time.Duration(int64(monotonic) - c.monotonic))
}

// Drops returns how many packets were dropped, by the name of the reason.
func (d *Datapath) Drops() (map[string]uint64, error) {
	drops := make(map[string]uint64)
	var reason uint32
	var perCPU []uint64
	entries := d.objects.Drops.Iterate()
	for entries.Next(&reason, &perCPU) {
		var sum uint64
		for _, n := range perCPU {
			sum += n
		}
		if sum > 0 {
			drops[event.Reason(reason).String()] = sum
		}
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("reading the drop counters: %w", err)
	}
	return drops, nil
}
