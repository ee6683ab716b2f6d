package reconcile

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// lookInside is how long, for each endpoint, nothing that is not announced is
// looked at again: to look into a namespace costs more, 1 to 2 ms, than all that is
// announced. A thousand endpoints are looked at every 200 to 400 s, which is less
// than 1 % of a CPU; few endpoints more often, some dozens each time.
const (
	lookInside = 200 * time.Millisecond
	lookFew    = 200 * time.Microsecond // each, for each endpoint
)

// shape is all that an endpoint's attachment follows from.
type shape struct {
	kind                 model.EndpointKind
	target, name, ifName string
	mac                  model.MAC
	address              netip.Prefix
	gateway              netip.Addr
	mtu, segment, bridge int
	isolation            model.Isolation
	tap                  model.TAP

	link, peer, peerNamespace, linkMTU, linkSegment int // as the kernel has it
}

// verified is an endpoint that was found as it should be.
type verified struct {
	shape shape
	until time.Time
}

func shapeOf(e model.Endpoint, n model.Network, bridge, link host.Link, mtu, segment int) shape {
	return shape{
		kind: e.Kind, target: e.Target, name: e.Interface, ifName: e.IfName, mac: e.MAC,
		address: netip.PrefixFrom(e.Address4(), n.Subnet4().Bits()), gateway: n.Gateway4(), mtu: n.LinkMTU(mtu), segment: segment, bridge: bridge.Index,
		isolation: n.Isolation, tap: e.TAP, link: link.Index, peer: link.PeerIndex, peerNamespace: link.PeerNSID, linkMTU: link.MTU, linkSegment: link.Segment,
	}
}

// isVerified reports whether an endpoint was found to be right a moment ago, and
// nothing of it has changed since that the host can see.
func (k *Kernel) isVerified(e model.Endpoint, is shape, link host.Link) bool {
	if !link.Up || link.MasterIndex != is.bridge {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	was, ok := k.verified[e.Name]
	return ok && was.shape == is && time.Now().Before(was.until)
}

// settle remembers what of a plan had to be made and is as it should be now, and
// returns those links. Others are looked at again.
func (k *Kernel) settle(made Plan, v view, mtu int) (right []host.Link) {
	for _, b := range made.Bridges {
		if l, there := v.link(b.Name); there && isBridge(l, b) {
			k.bridges[b.Name] = verifiedBridge{b, l.Index, time.Now().Add(turn(len(v.config.Networks), l.Index))}
			right = append(right, l)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range made.Endpoints {
		n, err := v.config.Network(e.Network)
		link, there := v.link(e.Interface)
		if err != nil || !there {
			continue
		}
		var bridge host.Link
		if !n.IsPointToPoint() {
			bridge, _ = v.link(n.Bridge)
		}
		if link.Owned() == e.OwnLink() && link.Up && link.MasterIndex == bridge.Index {
			// Not all are due at the same time again.
			k.verified[e.Name] = verified{shapeOf(e, n, bridge, link, mtu, k.segments.of(n)), time.Now().Add(turn(len(v.config.Endpoints), int(e.ID)))}
			right = append(right, link)
		}
		if waiting, there := v.link(e.Target); there && e.Kind == model.KindPair {
			right = append(right, waiting)
		}
	}
	return right
}

// verifiedBridge is a bridge that was found as it should be.
type verifiedBridge struct {
	bridge host.Bridge
	index  int
	until  time.Time
}

// isVerifiedBridge reports whether a bridge of ours is as it should be, as far as
// a list of links shows it. What that does not show is looked at now and then.
func (k *Kernel) isVerifiedBridge(v view, b host.Bridge) bool {
	l, _ := v.link(b.Name)
	if !isBridge(l, b) || !v.attached[datapath.Attachment{Interface: uint32(l.Index), Hook: datapath.BridgeIngress}] {
		delete(k.bridges, b.Name)
		return false
	}
	was, ok := k.bridges[b.Name]
	return ok && was.bridge == b && was.index == l.Index && time.Now().Before(was.until)
}

// isBridge reports whether a link is the bridge that it is to be.
func isBridge(l host.Link, b host.Bridge) bool {
	unrouted := len(l.Unrouted) > 0
	return l.Owned() && l.Type == "bridge" && l.Up && l.MAC == b.MAC && l.MTU == b.MTU && unrouted == b.Unrouted &&
		slices.Equal(l.Addresses, []netip.Prefix{b.Gateway})
}

// turn is when one of so many things is to be looked at again. Not all are due at
// the same time.
func turn(count, which int) time.Duration {
	interval := time.Duration(count) * min(lookInside, time.Duration(count)*lookFew)
	return interval + interval*time.Duration(which%64)/64
}

// forgetVerified has an endpoint looked at again.
func (k *Kernel) forgetVerified(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.verified, name)
}

// lookAgain reports whether it is time to see whether so many programs are still
// attached where they are pinned.
func (k *Kernel) lookAgain(programs int) bool {
	const each = 2 * time.Millisecond
	if time.Since(k.looked) < time.Duration(programs)*each {
		return false
	}
	k.looked = time.Now()
	return true
}
