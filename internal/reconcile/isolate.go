package reconcile

import (
	"context"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/nat"
)

// isolate has the bridges keep the ports of networks apart that want it, and no
// others.
func isolate(ctx context.Context, c nat.Config, links []host.Link) error {
	is, err := host.IsolatedPorts(ctx)
	if err != nil {
		return err
	}
	for index, isolated := range isolation(c, links) {
		if isolated == is[index] {
			continue
		}
		if err := host.IsolatePort(index, isolated); err != nil && nat.CodeOf(err) != nat.NotFound {
			return err
		}
	}
	return nil
}

// isolation says which ports, by index, are to be kept apart and which not. On an
// adopted bridge the ports that are no endpoint's are its owner's.
func isolation(c nat.Config, links []host.Link) map[int]bool {
	networks := make(map[string]nat.Network, len(c.Networks)) // by bridge
	for _, n := range c.Networks {
		networks[n.Bridge] = n
	}
	endpoints := make(map[string]bool, len(c.Endpoints))
	for _, e := range c.Endpoints {
		endpoints[e.Interface] = true
	}
	bridges := make(map[int]nat.Network, len(c.Networks))
	for _, l := range links {
		if n, ok := networks[l.Name]; ok {
			bridges[l.Index] = n
		}
	}
	ports := make(map[int]bool)
	for _, l := range links {
		if n, ok := bridges[l.MasterIndex]; ok && l.MasterIndex != 0 && (!n.Adopted || endpoints[l.Name]) {
			ports[l.Index] = n.Isolation == nat.IsolatedEndpoints
		}
	}
	return ports
}
