package test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/api"
)

// snapshot is what a refused command must not change, and what a restart must
// bring back.
type snapshot struct {
	NATs      []api.NAT
	Networks  []api.Network
	Endpoints []api.Endpoint
	Mappings  []api.Mapping
	Addresses []api.Address
	Bindings  []api.Binding // configured ones
	Problems  []string
	Links     []string
}

// shot takes one; without a daemon it is of the links alone.
func (m *machine) shot() (s snapshot, err error) {
	if s.Links, err = m.links(); err != nil || m.daemon == nil {
		return s, err
	}
	c, ctx := m.client(), context.Background()
	status, err := c.Status(ctx)
	s.Problems = status.Problems
	err = cmp.Or(err,
		fetch(ctx, &s.NATs, (*api.Client).NATs, c), fetch(ctx, &s.Networks, (*api.Client).Networks, c),
		fetch(ctx, &s.Mappings, (*api.Client).Mappings, c), fetch(ctx, &s.Addresses, (*api.Client).Addresses, c))
	if err != nil {
		return s, err
	}
	if s.Endpoints, err = c.Endpoints(ctx, ""); err != nil {
		return s, err
	}
	s.Bindings, err = c.Bindings(ctx, api.Filter{})
	s.Bindings = slices.DeleteFunc(s.Bindings, func(b api.Binding) bool { return !b.Configured })
	for i := range s.Bindings {
		s.Bindings[i].SessionCount = 0
	}
	return s, err
}

func fetch[T any](ctx context.Context, into *[]T, list func(*api.Client, context.Context) ([]T, error), c *api.Client) (err error) {
	*into, err = list(c, ctx)
	return err
}

// links lists the host's links as `ip address` would, with who made them and
// whose ports they are.
func (m *machine) links() (lines []string, err error) {
	err = m.Host.Do(func() error {
		links, err := net.Interfaces()
		if err != nil {
			return err
		}
		names := map[int]string{0: "none"}
		for _, l := range links {
			names[l.Index] = l.Name
		}
		for _, l := range links {
			line, err := m.line(l, names)
			if err != nil {
				return err
			}
			lines = append(lines, line)
		}
		return nil
	})
	slices.Sort(lines)
	return lines, err
}

func (m *machine) line(l net.Interface, names map[int]string) (string, error) {
	addrs, err := l.Addrs()
	if err != nil {
		return "", err
	}
	attrs, err := m.Host.Link(l.Name)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(l.Name, "hv-") { // the kernel chooses it, and nobody sees it
		l.HardwareAddr = nil
	}
	return fmt.Sprintf("%s mtu %d %s %s%s port of %s, alias %q", l.Name, l.MTU, l.HardwareAddr,
		l.Flags&^net.FlagRunning, ipv4(addrs), names[attrs.MasterIndex], attrs.Alias), nil
}

// ipv4 leaves the addresses out that the kernel makes up by itself, whenever it
// likes.
func ipv4(addrs []net.Addr) (text string) {
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			text += " " + p.String()
		}
	}
	return text
}
