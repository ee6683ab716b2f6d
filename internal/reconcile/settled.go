package reconcile

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/nat"
)

// lookInside is the share of time, for each endpoint, in which it is not looked
// at again unless something of it has changed: to look into a namespace costs
// more than all that is announced. A few endpoints are looked at each time, a
// thousand every 20 s.
const lookInside = 20 * time.Millisecond

// shape is all that an endpoint's attachment follows from.
type shape struct {
	kind                 nat.EndpointKind
	target, name, ifName string
	mac                  nat.MAC
	address              netip.Prefix
	gateway              netip.Addr
	mtu, bridge          int
	isolation            nat.Isolation

	link, peer, peerNamespace, linkMTU int // as the kernel has it
}

// settled is an endpoint that was found as it should be.
type settled struct {
	shape shape
	until time.Time
}

func shapeOf(e nat.Endpoint, n nat.Network, bridge, link host.Link, mtu int) shape {
	return shape{
		kind: e.Kind, target: e.Target, name: e.Interface, ifName: e.IfName, mac: e.MAC,
		address: netip.PrefixFrom(e.Address, n.Subnet.Bits()), gateway: n.Gateway, mtu: n.LinkMTU(mtu), bridge: bridge.Index,
		isolation: n.Isolation, link: link.Index, peer: link.PeerIndex, peerNamespace: link.PeerNSID, linkMTU: link.MTU,
	}
}

// isSettled reports whether an endpoint was found to be right a moment ago, and
// nothing of it has changed since that the host can see.
func (k *Kernel) isSettled(v view, e nat.Endpoint, is shape, link host.Link) bool {
	if !link.Up || link.MasterIndex != is.bridge || !v.attached[datapath.Attachment{Interface: uint32(link.Index), Hook: datapath.InsideIngress}] {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	was, ok := k.settled[e.Name]
	return ok && was.shape == is && time.Now().Before(was.until)
}

// settle remembers that an endpoint is right. Not all are due at the same time
// again.
func (k *Kernel) settle(v view, e nat.Endpoint, is shape) {
	interval := time.Duration(len(v.config.Endpoints)) * lookInside
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settled[e.Name] = settled{is, time.Now().Add(interval + interval*time.Duration(e.ID%64)/64)}
}

// unsettle has an endpoint looked at again.
func (k *Kernel) unsettle(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.settled, name)
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
