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

// attachPointToPoint is attach for an endpoint that is by itself.
func (k *Kernel) attachPointToPoint(ctx context.Context, v view, n model.Network, e model.Endpoint, mtu int) error {
	link, linked := v.link(e.Interface)
	is := shapeOf(e, n, host.Link{}, link, mtu, k.segments.of(n))
	if linked && isPointToPoint(link, n) && v.isGuarded(link) && k.isVerified(v, e, is, link) {
		return nil
	}
	if err := k.makePointToPoint(ctx, v, n, e, mtu); err != nil {
		k.forgetVerified(e.Name)
		return goneIfGone(err)
	}
	if linked {
		k.verify(v, e, is)
	}
	return nil
}

// isPointToPoint reports whether the host's side is as it should be, as far as a list
// of links shows it.
func isPointToPoint(l host.Link, n model.Network) bool {
	return l.MAC == pointToPointMAC(n) && slices.Contains(l.Unrouted, n.GatewayPrefix())
}

func (v view) isGuarded(l host.Link) bool {
	return !slices.ContainsFunc(pointToPointHooks, func(h datapath.Hook) bool {
		return !v.attached[datapath.Attachment{Interface: uint32(l.Index), Hook: h}]
	})
}

func (k *Kernel) makePointToPoint(ctx context.Context, v view, n model.Network, e model.Endpoint, mtu int) error {
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
