package demo

import (
	"context"
	"net/netip"

	"github.com/hostnat/hostnat/dev/lab"
)

// buildNetworks is chapter 1.
func buildNetworks(ctx context.Context, s *stage) error {
	s.say("One daemon hands out networks and addresses. It gets a NAT by itself, which follows the host's " +
		"address on the way out. The second network has no --subnet: a free one is chosen.")
	took, err := s.startDaemon(ctx)
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"network", "create", "web", "--subnet", "172.16.1.0/24"},
		{"network", "create", "lab"},
		{"endpoint", "attach", "web", "c1", "--netns", s.c1.Name},
		{"endpoint", "attach", "lab", "c2", "--netns", s.c2.Name},
	} {
		if _, err := s.hostnat(ctx, args...); err != nil {
			return err
		}
	}
	if err := s.learnAddresses(ctx); err != nil {
		return err
	}
	if err := s.promise(true, "the daemon was ready after %d ms", took.Milliseconds()); err != nil {
		return err
	}
	return s.promiseAttached()
}

func (s *stage) learnAddresses(ctx context.Context) error {
	for n, name := range map[*lab.Namespace]string{s.c1: "c1", s.c2: "c2"} {
		e, err := s.client.Endpoint(ctx, name)
		if err != nil {
			return err
		}
		s.address[n] = e.Addresses[0]
	}
	web, err := s.client.Network(ctx, "web")
	s.bridge = web.Bridge
	return err
}

// promiseAttached looks into the containers. That they are configured in full
// is shown by the next chapters, which set nothing inside.
func (s *stage) promiseAttached() error {
	for _, n := range []*lab.Namespace{s.c1, s.c2} {
		if _, err := n.Link("eth0"); err != nil {
			return err
		}
	}
	web := netip.MustParsePrefix("172.16.1.0/24")
	return s.promise(web.Contains(s.address[s.c1]) && !web.Contains(s.address[s.c2]),
		"c1 has %s, c2 has %s; nothing is left to configure inside them", s.address[s.c1], s.address[s.c2])
}
