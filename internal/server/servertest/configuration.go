package servertest

import (
	"context"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/control"
)

// Export returns what there is.
func (s *Service) Export(context.Context) (wanted.Objects, []string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := config.Config{NATs: s.nats, Networks: s.networks, Reservations: s.reservations, Pools: s.pools}
	for _, e := range s.endpoints {
		c.Endpoints = append(c.Endpoints, e.Endpoint)
	}
	for _, p := range s.proxies {
		c.Proxies = append(c.Proxies, p.Proxy)
	}
	w, left := c.Export()
	return w, left, s.Err
}

// ApplyFiles creates the networks that are not there, and takes no notice of
// anything else.
func (s *Service) ApplyFiles(ctx context.Context, w wanted.Objects, o control.ApplyOptions) (control.Applied, error) {
	var done control.Applied
	for _, n := range w.Networks {
		if _, err := s.Network(ctx, n.Name); err == nil {
			continue
		}
		if !o.DryRun {
			if _, err := s.CreateNetwork(ctx, config.NetworkSpec{Name: n.Name, Subnet: n.Subnets[0]}); err != nil {
				return done, err
			}
		}
		done.Changes = append(done.Changes, diff.Object{Verb: "created", Kind: "network", Name: n.Name,
			Fields: []diff.Field{{Key: "subnets", After: n.Subnets[0]}}})
	}
	for _, e := range w.Endpoints {
		done.Warnings = append(done.Warnings, "endpoint "+e.Name+" is absent until it can be attached: there is no namespace")
	}
	return done, s.Err
}
