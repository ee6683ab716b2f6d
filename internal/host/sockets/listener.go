// Package sockets tells which programs of the host hold which ports, and ends
// connections that no program has accepted.
package sockets

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// Listener returns the host's program that holds one of the TCP or UDP ports at
// the address or at all addresses, IPv6 wildcard sockets that take IPv4
// included; of several the one with the lowest port, nil if nobody does. With
// the address 0.0.0.0 any IPv4 address counts, as for bind(2). UDP sockets that
// are connected hold nothing. With an IPv6 address, IPv6 sockets alone count.
func Listener(ctx context.Context, p model.Protocol, external model.AddrPorts) (*model.Listener, error) {
	if p != model.TCP && p != model.UDP {
		return nil, nil
	}
	sockets, err := boundSockets(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("look for who listens on %s %s: %w", p, external, err)
	}
	holding := slices.DeleteFunc(sockets, func(s boundSocket) bool { return !s.holds(external) })
	if holding, err = withoutServers(holding); err != nil {
		return nil, err
	}
	if len(holding) == 0 {
		return nil, nil
	}
	lowest := slices.MinFunc(holding, func(a, b boundSocket) int { return cmp.Compare(a.local.Port(), b.local.Port()) })
	list, err := listeners(ctx, p, []boundSocket{lowest})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// Listeners returns all that Listener would find.
func Listeners(ctx context.Context) ([]model.Listener, error) {
	var all []model.Listener
	for _, p := range []model.Protocol{model.TCP, model.UDP} {
		sockets, err := boundSockets(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("look for who listens on %s: %w", p, err)
		}
		ipv4 := slices.DeleteFunc(sockets, func(s boundSocket) bool { return !s.takesIPv4() })
		if ipv4, err = withoutServers(ipv4); err != nil {
			return nil, err
		}
		list, err := listeners(ctx, p, ipv4)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// listeners finds the programs that sockets belong to.
func listeners(ctx context.Context, p model.Protocol, sockets []boundSocket) ([]model.Listener, error) {
	owners := make(map[uint32]owner, len(sockets))
	for _, s := range sockets {
		owners[s.inode] = owner{program: unknownProgram}
	}
	if err := findOwners(ctx, owners); err != nil {
		return nil, fmt.Errorf("look for who has %s sockets: %w", p, err)
	}
	list := make([]model.Listener, len(sockets))
	for i, s := range sockets {
		o := owners[s.inode]
		list[i] = model.Listener{Program: o.program, PID: o.pid, Protocol: p, Address: s.local}
		if s.link != 0 {
			list[i].Interface = cmp.Or(host.LinkName(int(s.link)), fmt.Sprintf("link %d", s.link))
		}
	}
	return list, nil
}

// boundSocket is a socket that takes what is sent to its port.
type boundSocket struct {
	local  netip.AddrPort // IPv4, or the IPv6 wildcard
	link   uint32         // index of the link it is bound to; 0: none
	inode  uint32
	v6only bool
}

func (s boundSocket) holds(external model.AddrPorts) bool {
	a := s.local.Addr()
	takes := s.takesIPv4()
	if external.Address.Is6() {
		takes = a.Is6()
	}
	if !takes || !external.Ports.Contains(s.local.Port()) {
		return false
	}
	return a.IsUnspecified() || external.Address.IsUnspecified() || a == external.Address
}

func (s boundSocket) takesIPv4() bool {
	a := s.local.Addr()
	return a.Is4() || !s.v6only && a.IsUnspecified()
}
