package reconcile

import (
	"context"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// pointToPointHooks are the programs of a link that is a network by itself: what
// leaves the endpoint passes the first, what of it is for the host the second.
var pointToPointHooks = []datapath.Hook{datapath.InsideIngress, datapath.PointToPointIngress}

// pointToPointOf is what the host has on the link of a network that has no switch.
// All of one per-endpoint network have one gateway MAC: a clone that wakes up finds
// the gateway that it knew.
func pointToPointOf(n model.Network, e model.Endpoint) host.PointToPoint {
	return host.PointToPoint{MAC: pointToPointMAC(n), Gateway: n.GatewayPrefix(), Endpoint: e.Address4(), EndpointMAC: e.MAC}
}

func pointToPointMAC(n model.Network) model.MAC { return model.Network{ID: n.PartOf}.GatewayMAC() }

// isPointToPoint reports whether the host's side is as it should be, as far as a list
// of links shows it.
func isPointToPoint(l host.Link, n model.Network) bool {
	return l.MAC == pointToPointMAC(n) && slices.Contains(l.Unrouted, n.GatewayPrefix())
}

// isGuarded reports whether an endpoint's link had its programs when they were listed.
func (v view) isGuarded(l host.Link, n model.Network) bool {
	hooks := pointToPointHooks
	if !n.IsPointToPoint() {
		hooks = hooks[:1]
	} else if !isPointToPoint(l, n) {
		return false
	}
	return !slices.ContainsFunc(hooks, func(h datapath.Hook) bool {
		return !v.attached[datapath.Attachment{Interface: uint32(l.Index), Hook: h}]
	})
}

func (k *Kernel) makePointToPoint(ctx context.Context, v view, n model.Network, e model.Endpoint, mtu int) error {
	if e.Kind == model.KindPair {
		pair := k.pairOf(n, e, mtu)
		pair.PointToPoint, pair.Guard = pointToPointOf(n, e), k.guardPointToPoint
		return host.EnsurePair(ctx, pair)
	}
	if !e.InNamespace() {
		if err := ensureTAP(n, e, mtu); err != nil {
			return err
		}
		_, err := host.EnsurePointToPoint(ctx, e.Target, pointToPointOf(n, e), k.guardPointToPoint)
		return err
	}
	ns, err := k.openNamespace(v, e)
	if err != nil || ns == nil {
		return err
	}
	defer ns.Close()
	veth := vethOf(n, e, ns, mtu)
	veth.PointToPoint, veth.GatewayMAC, veth.Segment, veth.Guard = pointToPointOf(n, e), pointToPointMAC(n), k.segments.of(n), k.guardPointToPoint
	_, err = host.EnsureVeth(ctx, veth)
	return err
}

func (k *Kernel) guardPointToPoint(index int) error {
	for _, hook := range pointToPointHooks {
		if err := k.datapath.Attach(datapath.Attachment{Interface: uint32(index), Hook: hook}); err != nil {
			return err
		}
	}
	return nil
}
