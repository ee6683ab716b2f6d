package reconcile

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// Plan is what to do to the host's links: what should be there, and what is
// there of ours and should not.
type Plan struct {
	Endpoints []model.Endpoint // to attach

	Bridges []host.Bridge // to make
	Adopt   []Adoption    // to take over as they are
	Delete  []string      // links we made that nobody wants any more
	Release []PortRelease // links of others that were ports of ours
	Return  []Adoption    // bridges to give back as they were
	Restore []string      // links of others that were point-to-point links, to give back as they were
}

// Adoption is a bridge that was there before, and the address that it has from
// hostnat.
type Adoption struct {
	Name     string
	Gateway  netip.Prefix
	Unrouted bool // see host.Bridge
}

// PortRelease takes a link out of a bridge.
type PortRelease struct {
	Link          string
	Index, Bridge int // interfaces
}

// Make compares the configuration with the host's links and the data path's
// attachments. It changes nothing. A part of both makes the part of the plan that
// is about them.
func Make(c config.Config, links []host.Link, attached []datapath.Attachment, mtu int) Plan {
	p := Plan{Endpoints: c.Endpoints}
	pinned := setOf(attached)
	wanted := map[string]bool{host.AnchorName: true, host.ReassemblyLink: true}
	pointToPoint := make(map[string]netip.Prefix) // by link
	for _, n := range c.Networks {
		wanted[n.Bridge] = true
		if n.IsPointToPoint() { // its link is made when its endpoint is attached
			pointToPoint[n.Bridge] = n.GatewayPrefix()
		} else if n.Adopted {
			p.Adopt = append(p.Adopt, Adoption{Name: n.Bridge, Gateway: n.GatewayPrefix(), Unrouted: n.Unrouted()})
		} else {
			p.Bridges = append(p.Bridges, bridgeOf(n, mtu))
		}
	}
	for _, e := range c.Endpoints {
		wanted[e.Interface] = true
		wanted[e.Target] = wanted[e.Target] || e.Kind == model.KindPair
	}
	for _, l := range links {
		for _, gateway := range l.Lent {
			lent := func(a Adoption) bool { return a.Name == l.Name && a.Gateway == gateway }
			if pointToPoint[l.Name] != gateway && !slices.ContainsFunc(p.Adopt, lent) {
				p.Return = append(p.Return, Adoption{Name: l.Name, Gateway: gateway})
			}
		}
		if l.PointToPoint && !pointToPoint[l.Name].IsValid() {
			p.Restore = append(p.Restore, l.Name)
		}
		switch {
		case wanted[l.Name]:
		case l.Owned():
			p.Delete = append(p.Delete, l.Name)
		case l.MasterIndex != 0 && pinned[datapath.Attachment{Interface: uint32(l.Index), Hook: datapath.InsideIngress}]:
			p.Release = append(p.Release, PortRelease{Link: l.Name, Index: l.Index, Bridge: l.MasterIndex})
		}
	}
	return p
}

// bridgeOf is the switch of a network that has one of ours.
func bridgeOf(n model.Network, mtu int) host.Bridge {
	return host.Bridge{Name: n.Bridge, MAC: n.GatewayMAC(), MTU: n.LinkMTU(mtu), Gateway: n.GatewayPrefix(), Unrouted: n.Unrouted()}
}
