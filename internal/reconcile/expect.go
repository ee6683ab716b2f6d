package reconcile

import (
	"slices"

	"github.com/hostnat/hostnat/internal/host"
)

// expect notes what was made, so that its announcements are no news, and lets go
// of what was taken away. A link that is not as it should be is left to Apply.
func (k *Kernel) expect(x *insideChange) error {
	var gone []int
	for _, l := range x.gone {
		gone = append(gone, l.Index)
	}
	right := slices.Clone(x.free)
	v := view{config: x.is}.withLinks(x.links)
	for _, n := range x.Networks.Added {
		if l, ok := v.link(n.Bridge); ok && !n.IsPointToPoint() && isBridge(l, bridgeOf(n, x.host.MTU)) {
			k.verifyBridge(v, bridgeOf(n, x.host.MTU), l)
			right = append(right, l)
		}
	}
	for _, e := range x.Endpoints.Added {
		n, err := x.is.Network(e.Network)
		if err != nil {
			return err
		}
		bridge, _ := v.link(n.Bridge)
		if n.IsPointToPoint() {
			bridge = host.Link{}
		}
		if l, ok := v.link(e.Interface); ok && l.Owned() == e.OwnLink() && l.Up && l.MasterIndex == bridge.Index {
			k.verify(v, e, shapeOf(e, n, bridge, l, x.host.MTU, k.segments.of(n)))
			right = append(right, l)
		}
	}
	k.links.tellOf(right, gone)
	return nil
}
