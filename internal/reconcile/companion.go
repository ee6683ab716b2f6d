package reconcile

import (
	"context"
	"errors"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// attachCompanions looks again at the other endpoints in the namespace of one that
// was just attached: each of several links there answers for itself.
func (k *Kernel) attachCompanions(ctx context.Context, c config.Config, e model.Endpoint, mtu int) error {
	companions, err := k.companions(ctx, c, e.Interface)
	if err != nil || len(companions) == 0 {
		return err
	}
	links, err := k.links.look(ctx)
	if err != nil {
		return err
	}
	v := view{config: c}.withLinks(links)
	for _, o := range companions {
		n, err := c.Network(o.Network)
		if err != nil {
			return err
		}
		bridge, _ := v.link(n.Bridge)
		if n.IsPointToPoint() {
			err = k.makePointToPoint(ctx, v, n, o, mtu)
		} else {
			err = k.attachTo(ctx, v, n, bridge, o, mtu)
		}
		if err != nil && !absent(err) {
			return err
		}
	}
	return nil
}

// companions are the endpoints whose links lead into the namespace that a link
// leads into.
func (k *Kernel) companions(ctx context.Context, c config.Config, link string) (list []model.Endpoint, err error) {
	links, err := k.links.find(ctx, []string{link})
	if err != nil || len(links) == 0 || links[0].PeerNSID < 0 {
		return nil, err
	}
	namespace := links[0].PeerNSID
	var names []string
	byLink := make(map[string]model.Endpoint)
	for _, e := range c.Endpoints {
		if e.InNamespace() && e.Interface != link {
			names = append(names, e.Interface)
			byLink[e.Interface] = e
		}
	}
	if links, err = k.links.find(ctx, names); err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.PeerNSID == namespace {
			list = append(list, byLink[l.Name])
		}
	}
	return list, nil
}

// leave takes away what endpoints have in their namespaces beside their links. What
// cannot be reached any more is gone with its namespace.
func leave(ctx context.Context, endpoints []model.Endpoint) (err error) {
	for _, e := range endpoints {
		if !e.InNamespace() {
			continue
		}
		ns, openErr := host.OpenNamespace(e.Kind, e.Target)
		if openErr != nil {
			continue
		}
		err = errors.Join(err, host.LeaveNamespace(ctx, ns, e.Address4()))
		if e.TAP.Made {
			err = errors.Join(err, host.LeaveTAP(ns, e.Interface, e.IfName))
		}
		err = errors.Join(err, ns.Close())
	}
	return err
}

// sharing are the endpoints, of those given, whose links lead into a namespace
// with several, or to a TAP there: the others have nothing there beside their link.
func sharing(endpoints []model.Endpoint, links []host.Link) (list []model.Endpoint) {
	count := make(map[int]int)
	namespace := make(map[string]int)
	for _, l := range links {
		if l.Owned() && l.PeerNSID >= 0 {
			count[l.PeerNSID]++
			namespace[l.Name] = l.PeerNSID
		}
	}
	for _, e := range endpoints {
		if id, ok := namespace[e.Interface]; ok && (count[id] > 1 || e.TAP.Made) {
			list = append(list, e)
		}
	}
	return list
}

// leave is that for endpoints that go while others stay: those of the same
// namespace are looked at again.
func (k *Kernel) leave(ctx context.Context, c config.Config, gone []model.Endpoint, links []host.Link) error {
	gone = sharing(gone, links)
	for _, e := range gone {
		companions, err := k.companions(ctx, c, e.Interface)
		if err != nil {
			return err
		}
		for _, o := range companions {
			k.forgetVerified(o.Name)
		}
	}
	return leave(ctx, gone)
}

// goneEndpoints are those of one configuration that another has not.
func goneEndpoints(was, is config.Config) []model.Endpoint {
	var gone []model.Endpoint
	have := make(map[uint32]bool, len(is.Endpoints))
	for _, e := range is.Endpoints {
		have[e.ID] = true
	}
	for _, e := range was.Endpoints {
		if !have[e.ID] {
			gone = append(gone, e)
		}
	}
	return gone
}
