package reconcile

import (
	"context"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// BounceCarrier has the machines on a network's bridge see their link go and come back,
// as if somebody had pulled the plug: their DHCP clients then ask again instead
// of waiting for the time to renew. It reaches the other end of veth pairs that
// others have made; hostnat's own are configured anew by Apply, and a VM does not
// see what becomes of its TAP.
func (k *Kernel) BounceCarrier(ctx context.Context, network string) error {
	cfg := k.lastConfig()
	links, err := host.Links(ctx)
	if err != nil {
		return err
	}
	var ports []int
	for _, n := range cfg.Networks {
		if name, _ := model.CutPointToPoint(n.Name); name == network { // a per-endpoint one is many
			ports = append(ports, pluggedIn(cfg, n, links)...)
		}
	}
	return host.BounceCarrier(ports)
}

// pluggedIn returns the ports of a network's bridge whose other end is to notice.
// On an adopted bridge those that are no endpoint's are its owner's.
func pluggedIn(c config.Config, n model.Network, links []host.Link) (ports []int) {
	endpoints := make(map[string]bool)
	for _, e := range c.EndpointsOf(n.Name) {
		endpoints[e.Interface] = true
	}
	bridge, _ := view{links: links}.link(n.Bridge)
	for _, l := range links {
		own := l.Owned() || n.Adopted && !endpoints[l.Name]
		on := l.MasterIndex == bridge.Index || n.IsPointToPoint() && l.Index == bridge.Index
		if bridge.Index != 0 && on && l.Type == "veth" && l.Up && !own {
			ports = append(ports, l.Index)
		}
	}
	return ports
}
