package reconcile

import (
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// isolate has the bridges keep the ports of networks apart that want it, and no
// others.
func isolate(c config.Config, links []host.Link) error {
	wanted := isolation(c, links)
	for i, l := range links {
		isolated, concerned := wanted[l.Index]
		if !concerned || isolated == l.Isolated {
			continue
		}
		if err := host.IsolatePort(l.Index, isolated); err != nil && model.CodeOf(err) != model.NotFound {
			return err
		}
		links[i].Isolated = isolated
	}
	return nil
}

// isolation says which ports, by index, are to be kept apart and which not. On an
// adopted bridge the ports that are no endpoint's are its owner's.
func isolation(c config.Config, links []host.Link) map[int]bool {
	networks := make(map[string]model.Network, len(c.Networks)) // by bridge
	for _, n := range c.Networks {
		networks[n.Bridge] = n
	}
	endpoints := make(map[string]bool, len(c.Endpoints))
	for _, e := range c.Endpoints {
		endpoints[e.Interface] = true
	}
	bridges := make(map[int]model.Network, len(c.Networks))
	for _, l := range links {
		if n, ok := networks[l.Name]; ok {
			bridges[l.Index] = n
		}
	}
	ports := make(map[int]bool)
	for _, l := range links {
		if n, ok := bridges[l.MasterIndex]; ok && l.MasterIndex != 0 && (!n.Adopted || endpoints[l.Name]) {
			ports[l.Index] = n.Isolation == model.IsolatedEndpoints
		}
	}
	return ports
}
