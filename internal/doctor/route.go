package doctor

import (
	"fmt"
	"net/netip"
)

var defaultRouteCheck = check{
	name: "default-route", looks: "whether the host has a way to the outside",
	find: func(f Facts) []Finding {
		if f.Host.Host.DefaultInterface != "" {
			return nil
		}
		return []Finding{{
			Severity: Problem, What: "the host has no default route",
			Why:     "endpoints reach what the host has a route to, and nothing else: their packets are refused with network unreachable",
			Command: "ip route add default via ROUTER dev INTERFACE",
		}}
	},
}

// insideRouteCheck is WinNAT's event 1031: a default route found in an internal
// compartment.
var insideRouteCheck = check{
	name: "inside-route", looks: "routes to the outside that lead into a network",
	find: func(f Facts) (found []Finding) {
		for _, r := range f.Host.Routes {
			n, inside := f.networkOn(r.Link)
			if !inside || r.Prefix.Bits() > 1 {
				continue
			}
			found = append(found, Finding{
				Severity: Problem, What: fmt.Sprintf("the route %s leads into network %s (table %d)", r.Prefix, n.Name, r.Table),
				Why:     "what endpoints send to the outside would come back inside: it is dropped as not-external-interface. The host itself is cut off too",
				Command: fmt.Sprintf("ip route del %s dev %s table %d", r.Prefix, r.Link, r.Table),
			})
		}
		return found
	},
}

var overlapCheck = check{
	name: "overlap", looks: "networks against the host's addresses and routes, VPNs' included",
	find: func(f Facts) (found []Finding) {
		config := f.Config
		for _, clash := range config.Clashes(f.Host.Host) {
			why := "endpoints of the network cannot reach what is there, and the host takes one for the other; everything else goes on"
			if clash.Gateway {
				why = clash.Harm()
			}
			found = append(found, Finding{
				Severity: Problem, What: clash.String(), Why: why,
				Command: "hostnat network renumber " + clash.Network,
			})
		}
		found = append(found, twins(f)...)
		return append(found, shadows(f)...)
	},
}

// shadows are the host's prefixes that networks of other compartments have too: on
// purpose, as a rule.
func shadows(f Facts) (found []Finding) {
	for _, n := range f.Config.Networks {
		for _, h := range n.Shadows(f.Host.Host) {
			found = append(found, Finding{
				Severity: Note, What: fmt.Sprintf("network %s (%s) has the same addresses as %s of the host (%s)", n.Name, n.Subnet4(), h.Prefix, h.Source),
				Why: "its endpoints reach everything but that, and what has such an address there reaches them by port proxies, not by mappings; the host notices nothing of it",
			})
		}
	}
	return found
}

// twins are networks of one compartment that overlap: the daemon makes none,
// a stored configuration may have been edited.
func twins(f Facts) (found []Finding) {
	for i, a := range f.Config.Networks {
		for _, b := range f.Config.Networks[:i] {
			if !a.Joins(b) || !a.Subnet4().Overlaps(b.Subnet4()) {
				continue
			}
			found = append(found, Finding{
				Severity: Problem, What: fmt.Sprintf("networks %s (%s) and %s (%s) of compartment %s overlap", b.Name, b.Subnet4(), a.Name, a.Subnet4(), a.Compartment),
				Why:     "an address would be in two places",
				Command: "hostnat network renumber " + a.Name,
			})
		}
	}
	return found
}

var mtuCheck = check{
	name: "mtu", looks: "the networks' MTU against that of the way out, and their ports' against it",
	find: func(f Facts) (found []Finding) {
		out := f.Host.Host.MTU
		for _, n := range f.Config.Networks {
			bridge, there := f.Host.Link(n.Bridge)
			if !there || out == 0 || bridge.MTU <= out {
				continue
			}
			found = append(found, Finding{
				Severity: Warning, What: fmt.Sprintf("network %s has an MTU of %d bytes, the way out %d", n.Name, bridge.MTU, out),
				Why:     "full packets are refused with 'fragmentation needed': who does not heed that hangs after the handshake",
				Command: fmt.Sprintf("ip link set %s mtu %d", n.Bridge, out),
			})
		}
		return append(found, narrowPorts(f)...)
	},
}

// narrowPorts are other tools' ports of networks that take smaller frames than
// hostnat's links there send: a TAP has 1500 bytes, the way out may have 9000.
func narrowPorts(f Facts) (found []Finding) {
	for _, n := range f.Config.Networks {
		bridge, there := f.Host.Link(n.Bridge)
		if !there || n.PerEndpoint() {
			continue
		}
		largest := 0
		for _, l := range f.Host.Links {
			if l.Owned() && (l.Index == bridge.Index || l.MasterIndex == bridge.Index) {
				largest = max(largest, l.MTU)
			}
		}
		for _, l := range f.Host.Links {
			if l.MasterIndex != bridge.Index || l.Owned() || l.MTU >= largest {
				continue
			}
			found = append(found, Finding{
				Severity: Warning, What: fmt.Sprintf("port %s of network %s has an MTU of %d bytes, others there %d", l.Name, n.Name, l.MTU, largest),
				Why:     "larger packets for it are lost, and nobody is told; TCP between endpoints goes by what DHCP told each of them",
				Command: fmt.Sprintf("ip link set %s mtu %d", l.Name, largest),
			})
		}
	}
	return found
}

var reversePathCheck = check{
	name: "reverse-path", looks: "rp_filter, where the route back to a network leads elsewhere",
	find: func(f Facts) (found []Finding) {
		all, _ := f.Host.Sysctl("net/ipv4/conf/all/rp_filter")
		for _, n := range f.examples() {
			path := "net/ipv4/conf/" + n.Bridge + "/rp_filter"
			own, there := f.Host.Sysctl(path)
			// The greater of the two counts (ip-sysctl.rst); 1 is strict, RFC 3704 section 2.2.
			if !there || max(all, own) != 1 || f.wayTo(n.Subnet4(), n.Bridge) == n.Bridge {
				continue
			}
			found = append(found, Finding{
				Severity: Problem, What: fmt.Sprintf("rp_filter is strict on %s, and the host's route to %s leads out of %s", n.Bridge, n.Subnet4(), f.wayTo(n.Subnet4(), n.Bridge)),
				Why:     fmt.Sprintf("the host drops what endpoints of network %s send to itself, and does not answer who asks for the gateway's MAC: these reach nothing", n.Name),
				Command: "sysctl -w net.ipv4.conf." + n.Bridge + ".rp_filter=2",
				fix:     &Fix{Sysctl: &Sysctl{Path: path, Value: "2", Was: fmt.Sprint(own)}},
			})
		}
		return found
	},
}

// wayTo is the link of the most specific route of the main table to a subnet,
// the first of equals, as the kernel has them in order. One to a part of the subnet
// that leads elsewhere than otherwise says counts too: a VPN's.
func (f Facts) wayTo(subnet netip.Prefix, otherwise string) string {
	best, link := -1, otherwise
	for _, r := range f.Host.Routes {
		if r.Table != mainTable || !r.Prefix.Overlaps(subnet) {
			continue
		}
		if r.Prefix.Bits() > subnet.Bits() && r.Link != otherwise {
			return r.Link
		}
		if r.Prefix.Bits() > best && r.Prefix.Bits() <= subnet.Bits() {
			best, link = r.Prefix.Bits(), r.Link
		}
	}
	return link
}

const mainTable = 254 // RT_TABLE_MAIN
