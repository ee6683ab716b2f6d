package host

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/internal/nat"
)

// Listener returns the host's program that holds a TCP or UDP port at the
// address or at all addresses, IPv6 wildcard sockets that take IPv4 included;
// nil if nobody does. With the address 0.0.0.0 any IPv4 address counts, as for
// bind(2). UDP sockets that are connected hold nothing.
func Listener(ctx context.Context, p nat.Protocol, external netip.AddrPort) (*nat.Listener, error) {
	if p != nat.TCP && p != nat.UDP {
		return nil, nil
	}
	sockets, err := boundSockets(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("look for who listens on %s %s: %w", p, external, err)
	}
	for _, s := range sockets {
		if !s.holds(external) {
			continue
		}
		program, pid, err := socketOwner(ctx, s.inode)
		if err != nil {
			return nil, fmt.Errorf("look for the owner of %s %s: %w", p, external, err)
		}
		return &nat.Listener{Program: program, PID: pid, Address: s.local}, nil
	}
	return nil, nil
}

// boundSocket is a socket that takes what is sent to its port.
type boundSocket struct {
	local  netip.AddrPort // IPv4, or the IPv6 wildcard
	inode  uint32
	v6only bool
}

func (s boundSocket) holds(external netip.AddrPort) bool {
	a := s.local.Addr()
	if s.local.Port() != external.Port() || a.Is6() && (s.v6only || !a.IsUnspecified()) {
		return false
	}
	return a.IsUnspecified() || external.Addr().IsUnspecified() || a == external.Addr()
}
