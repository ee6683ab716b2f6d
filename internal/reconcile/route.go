package reconcile

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// input is the interface by which the host's routing rules know what comes from a
// network: its link, where that may forward. Where it does not, a rule that names
// it holds all the same: nothing is forwarded then.
func (v view) input(l host.Link) uint32 {
	if l.Owned() || l.Forwards || slices.Contains(v.host.RuleLinks, l.Name) {
		return uint32(l.Index)
	}
	return 0
}

// deprecated are the host's addresses whose preferred lifetime is over.
func (v view) deprecated() map[netip.Addr]bool {
	addresses := make(map[netip.Addr]bool)
	for _, l := range v.links {
		for _, p := range l.Deprecated {
			addresses[p.Addr()] = true
		}
	}
	return addresses
}

func (v view) routeMTUs() (list []datapath.RouteMTU) {
	for _, r := range v.routes {
		list = append(list, datapath.RouteMTU{Interface: uint32(r.Link), NextHop: r.NextHop, Metric: r.Metric, Prefix: r.Prefix, MTU: r.MTU})
	}
	return list
}

func (v view) ipsecPolicies() (list []datapath.IPsecPolicy) {
	for _, p := range v.ipsec {
		list = append(list, datapath.IPsecPolicy{
			Forwarded: p.Forwarded, Source: p.Source, Destination: p.Destination,
			SourcePort: p.SourcePort.Port, SourceMask: p.SourcePort.Mask,
			DestinationPort: p.DestinationPort.Port, DestinationPortMask: p.DestinationPort.Mask,
			Protocol: p.Protocol, Interface: p.Interface, Passes: p.Passes,
		})
	}
	return list
}

// routeProblems says what of the host's routing hostnat cannot follow.
func (v view) routeProblems() (problems []string) {
	for _, n := range v.config.Networks {
		if l, ok := v.link(n.Bridge); ok && n.HasNAT() && !l.Owned() && !l.Forwards && slices.Contains(v.host.RuleLinks, l.Name) {
			problems = append(problems, fmt.Sprintf("a routing rule is for what comes in by %s, which does not forward: nothing leaves network %s; "+
				"'sysctl net.ipv4.conf.%s.forwarding=1' has the rule decide, or remove the rule", l.Name, n.Name, l.Name))
		}
	}
	if n := len(v.routes); n > datapath.MaxRouteMTUs {
		problems = append(problems, fmt.Sprintf("the MTUs of %d routes do not hold for endpoints: there is room for %d", n-datapath.MaxRouteMTUs, datapath.MaxRouteMTUs))
	}
	if n := len(v.ipsec); n > datapath.MaxIPsecPolicies {
		problems = append(problems, fmt.Sprintf("the host has %d IPsec policies, and there is room for %d: everything that endpoints send outside is dropped", n, datapath.MaxIPsecPolicies))
	} else if n := held(v.ipsec); n > 0 && slices.ContainsFunc(v.config.Networks, model.Network.HasNAT) {
		problems = append(problems, fmt.Sprintf("%d IPsec policies of the host (ip xfrm policy) are for what leaves: what endpoints send that they select is dropped (reason ipsec), since it would leave in clear", n))
	}
	return problems
}

// held is how many policies do not let pass what they select.
func held(policies []host.IPsecPolicy) (n int) {
	for _, p := range policies {
		if !p.Passes {
			n++
		}
	}
	return n
}
