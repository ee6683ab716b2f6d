package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
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
	Handshake                  model.Handshake
}

// Binding is a binding as the kernel has it: ids instead of names.
type Binding struct {
	NAT, Network, Compartment uint32
	Protocol                  model.Protocol
	Internal, External        netip.AddrPort
	Sessions                  uint32
	Configured                bool
}

// Inside4 is an IPv4 address inside: unique in its compartment.
type Inside4 struct {
	Compartment uint32
	Address     [4]byte
}

// Where selects elements of the tables before they are decoded. Zero values
// select all.
type Where struct {
	Insides  []Inside4 // nil: any
	Network  uint32
	NAT      uint32
	Protocol model.Protocol
}

func (w *Where) selects(compartment, address uint32, network, nat uint32, protocol uint8) bool {
	if w.Network != 0 && w.Network != network || w.NAT != 0 && w.NAT != nat || w.Protocol != 0 && uint8(w.Protocol) != protocol {
		return false
	}
	if w.Insides == nil {
		return true
	}
	for i := range w.Insides {
		if in := &w.Insides[i]; in.Compartment == compartment && binary.NativeEndian.Uint32(in.Address[:]) == address {
			return true
		}
	}
	return false
}

// Sessions calls visit for every session.
func (d *Datapath) Sessions(visit func(Session) error) error { return d.SessionsWhere(Where{}, visit) }

// SessionsWhere calls visit for every session that is selected.
func (d *Datapath) SessionsWhere(where Where, visit func(Session) error) error {
	clock := d.readClock()
	err := d.eachSession(where.Insides, func(k *kernel.SessionKey, v *kernel.Session) error {
		if !where.selects(k.Compartment, k.InternalAddress, v.Network, v.Nat, k.Protocol) {
			return nil
		}
		return visit(toSession(k, v, clock))
	})
	if err != nil {
		return fmt.Errorf("reading the sessions: %w", err)
	}
	return nil
}

// eachSession reads all sessions, or little more than those of a few addresses.
func (d *Datapath) eachSession(insides []Inside4, visit func(*kernel.SessionKey, *kernel.Session) error) error {
	if len(insides) == 0 || len(insides) > kernel.MaxInsides {
		return kernel.Each(d.objects.Sessions, visit)
	}
	list := make([]kernel.InsideAddress, len(insides))
	for i, in := range insides {
		list[i] = kernel.InsideAddress{Compartment: in.Compartment, Address: binary.NativeEndian.Uint32(in.Address[:])}
	}
	err := kernel.SessionsOf(d.objects.Sessions, list, visit)
	if errors.Is(err, kernel.ErrMany) {
		return kernel.Each(d.objects.Sessions, visit)
	}
	return err
}

// Bindings calls visit for every binding, configured ones too: of a range those
// ports that sessions use.
func (d *Datapath) Bindings(visit func(Binding) error) error { return d.BindingsWhere(Where{}, visit) }

// BindingsWhere calls visit for every binding that is selected.
func (d *Datapath) BindingsWhere(where Where, visit func(Binding) error) error {
	err := kernel.Each(d.objects.Bindings, func(k *kernel.BindingKey, v *kernel.Binding) error {
		if v.Flags&kernel.BindingHoldDown != 0 {
			return nil // its port is in hold-down: nobody's
		}
		if !where.selects(v.Compartment, v.InternalAddress, v.Network, v.Nat, k.Protocol) {
			return nil
		}
		return visit(Binding{
			NAT: v.Nat, Network: v.Network, Compartment: v.Compartment,
			Protocol:   model.Protocol(k.Protocol),
			Internal:   kernel.ToAddrPort(v.InternalAddress, v.InternalPort),
			External:   kernel.ToAddrPort(k.Address, k.Port),
			Sessions:   v.Sessions,
			Configured: v.Flags&kernel.BindingConfigured != 0,
		})
	})
	if err != nil {
		return fmt.Errorf("reading the bindings: %w", err)
	}
	return nil
}

func toSession(k *kernel.SessionKey, v *kernel.Session, clock clock) Session {
	ends := clock.time(v.LastRefreshed()).Add(time.Duration(v.Lifetime) * time.Second)
	return Session{
		NAT: v.Nat, Network: v.Network, Compartment: k.Compartment,
		Protocol:   model.Protocol(k.Protocol),
		Internal:   kernel.ToAddrPort(k.InternalAddress, k.InternalPort),
		External:   kernel.ToAddrPort(v.ExternalAddress, v.ExternalPort),
		Remote:     kernel.ToAddrPort(k.RemoteAddress, k.RemotePort),
		State:      model.TCPState(v.State),
		Created:    clock.time(v.Created),
		Left:       max(0, ends.Sub(clock.wall)),
		PacketsOut: v.PacketsOut, BytesOut: v.BytesOut,
		PacketsIn: v.PacketsIn, BytesIn: v.BytesIn,
		Handshake: kernel.ToHandshake(v.EndpointRtt, v.OutsideRtt, v.RepeatedSyns),
	}
}

// clock ties the kernel's monotonic time to the wall's.
type clock struct {
	wall      time.Time
	monotonic int64 // ns
}

func (d *Datapath) readClock() clock {
	var ts unix.Timespec
	// Cannot fail for CLOCK_MONOTONIC on Linux.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return clock{wall: time.Now(), monotonic: ts.Nano() + int64(d.clockAhead)}
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
