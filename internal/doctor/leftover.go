package doctor

import (
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

var leftoverCheck = check{
	name: "leftover", looks: "links and addresses with hostnat's mark that nobody wants any more",
	find: func(f Facts) (found []Finding) {
		if f.Daemon != nil {
			return nil // it takes them away by itself
		}
		wanted := f.wantedLinks()
		for _, l := range f.Host.Links {
			if l.Owned() && !wanted[l.Name] {
				found = append(found, f.leftLink(l))
			}
			if l.PointToPoint {
				if !f.isPointToPoint(l.Name) {
					found = append(found, f.leftPointToPoint(l.Name))
				}
				continue
			}
			for _, lent := range l.Lent {
				if !f.lends(l.Name, lent) {
					found = append(found, f.leftAddress(l.Name, lent))
				}
			}
		}
		return found
	},
}

func (f Facts) wantedLinks() map[string]bool {
	wanted := map[string]bool{}
	if len(f.Config.Networks) > 0 {
		wanted[host.AnchorName], wanted[host.ReassemblyLink] = true, true
	}
	for _, n := range f.Config.Networks {
		wanted[n.Bridge] = true
	}
	for _, e := range f.Config.Endpoints {
		wanted[e.Interface] = true
		wanted[e.Target] = wanted[e.Target] || e.Kind == model.KindPair
	}
	return wanted
}

func (f Facts) lends(bridge string, address netip.Prefix) bool {
	for _, n := range f.Config.Networks {
		if n.Adopted && n.Bridge == bridge && n.GatewayPrefix() == address {
			return true
		}
	}
	return false
}

func (f Facts) isPointToPoint(link string) bool {
	n, is := f.networkOn(link)
	return is && n.IsPointToPoint()
}

func (f Facts) leftPointToPoint(link string) Finding {
	finding := Finding{
		Severity: Warning, What: fmt.Sprintf("link %s has the gateway's address and MAC of an endpoint that is not configured", link),
		Why: "the host answers there, and the link's own MAC is in its alternative name alone", Command: "hostnat doctor --fix",
	}
	if f.HasConfig {
		finding.fix = &Fix{ReleasePointToPoint: link}
	} else {
		finding.Command = "hostnat down"
	}
	return finding
}

// leftLink: without a configuration there is no telling whether the link is
// wanted by one in another place, so that it is not deleted unasked.
func (f Facts) leftLink(l host.Link) Finding {
	finding := Finding{
		Severity: Warning, What: fmt.Sprintf("link %s is hostnat's and belongs to no network or endpoint", l.Name),
		Why: "its addresses and routes are in the way of the host's own", Command: "ip link del " + l.Name,
	}
	if f.HasConfig {
		finding.fix = &Fix{DeleteLink: l.Name}
	} else {
		finding.Command = "hostnat down"
	}
	return finding
}

func (f Facts) leftAddress(bridge string, address netip.Prefix) Finding {
	finding := Finding{
		Severity: Warning, What: fmt.Sprintf("bridge %s has the address %s, which hostnat gave it and no network wants", bridge, address),
		Why: "the host answers there, and routes the prefix to the bridge", Command: fmt.Sprintf("ip address del %s dev %s", address, bridge),
	}
	if f.HasConfig {
		finding.fix = &Fix{ReleaseBridge: &LentAddress{Bridge: bridge, Prefix: address.String()}}
	} else {
		finding.Command = "hostnat down"
	}
	return finding
}
