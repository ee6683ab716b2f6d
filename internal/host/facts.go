package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// defaultMTU (bytes) stands in where the host has no default route.
const defaultMTU = 1500

// Facts returns what the host itself uses. Links for which exclude is true are
// left out with their addresses and routes, but for what the host has by itself on
// those that it has not from hostnat; loopback counts only as a prefix.
func Facts(ctx context.Context, exclude func(link string) bool) (model.HostFacts, error) {
	links, err := Links(ctx)
	if err != nil {
		return model.HostFacts{}, err
	}
	return FactsOf(ctx, links, exclude)
}

// FactsOf is Facts for who has just listed the links.
func FactsOf(ctx context.Context, links []Link, exclude func(link string) bool) (model.HostFacts, error) {
	routes, err := listRoutes(ctx)
	if err != nil {
		return model.HostFacts{}, err
	}
	ports, err := localPorts()
	if err != nil {
		return model.HostFacts{}, err
	}
	rules, err := inputLinks(ctx)
	if err != nil {
		return model.HostFacts{}, err
	}
	var own, adopted []Link
	for _, l := range links {
		switch {
		case exclude == nil || !exclude(l.Name):
			own = append(own, l)
		case !l.Hostnats():
			adopted = append(adopted, l)
		}
	}
	facts := model.HostFacts{LocalPorts: ports, MTU: defaultMTU, RuleLinks: rules}
	addLinks(&facts, own)
	addRoutes(&facts, own, routes)
	for _, l := range adopted {
		addAdopted(&facts, l, routes)
	}
	return facts, nil
}

// addAdopted notes what the host has by itself on a link that a network has
// adopted.
func addAdopted(facts *model.HostFacts, l Link, routes []netlink.Route) {
	if facts.AdoptedMACs == nil {
		facts.AdoptedMACs = make(map[string]model.MAC)
	}
	facts.AdoptedMACs[l.Name] = l.MAC
	seen := map[netip.Prefix]bool{}
	for _, p := range l.Addresses {
		seen[p.Masked()] = true // the route says no more, and that of a lent one is ours
		if !slices.Contains(l.Lent, p) {
			facts.Adopted = append(facts.Adopted, model.HostPrefix{Prefix: p, Source: "address of " + l.Name})
		}
	}
	for _, r := range routes {
		if prefix := destination(r); outgoing(r) == l.Index && prefix.Bits() > defaultBits && !seen[prefix] {
			seen[prefix] = true
			facts.Adopted = append(facts.Adopted, model.HostPrefix{Prefix: prefix, Source: "route via " + l.Name})
		}
	}
}

func addLinks(facts *model.HostFacts, links []Link) {
	for _, l := range links {
		if !l.Loopback {
			facts.Interfaces = append(facts.Interfaces, l.Name)
		}
		own := slices.Clone(l.Addresses)
		slices.SortStableFunc(own, func(a, b netip.Prefix) int { return l.unfitness(a) - l.unfitness(b) })
		for _, p := range own {
			if slices.Contains(l.Lent, p) {
				continue // ours, and it goes with what we lent it for
			}
			added := slices.Contains(l.External, p)
			if !added {
				facts.Prefixes = append(facts.Prefixes, model.HostPrefix{Prefix: p.Masked(), Source: "address of " + l.Name})
			}
			if !p.Addr().IsLoopback() {
				facts.Addresses = append(facts.Addresses, model.HostAddress{Address: p.Addr(), Interface: l.Name, Added: added})
			}
		}
	}
}

func addRoutes(facts *model.HostFacts, links []Link, routes []netlink.Route) {
	byIndex := map[int]Link{}
	for _, l := range links {
		byIndex[l.Index] = l
	}
	seen := map[netip.Prefix]bool{} // a connected route says no more than its address
	for _, p := range facts.Prefixes {
		seen[p.Prefix] = true
	}
	var best *netlink.Route
	for _, r := range routes {
		for _, hop := range nextHops(r) {
			addRouter(facts, byIndex[hop.link].Name, destination(r), hop.router)
		}
		link, ok := byIndex[outgoing(r)]
		if !ok {
			continue
		}
		if prefix := destination(r); prefix.Bits() > defaultBits {
			if !seen[prefix] {
				seen[prefix] = true
				facts.Prefixes = append(facts.Prefixes, model.HostPrefix{Prefix: prefix, Source: "route via " + link.Name})
			}
		} else if r.Table == unix.RT_TABLE_MAIN && prefersDefault(r, best) {
			best = &r
			facts.DefaultInterface, facts.MTU = link.Name, link.MTU
			if r.MTU > 0 {
				facts.MTU = min(link.MTU, r.MTU)
			}
		}
	}
}

// addRouter notes a next hop by way of one of the host's own links. That of a
// default route is called so, whatever else goes by way of it.
func addRouter(facts *model.HostFacts, link string, prefix netip.Prefix, router netip.Addr) {
	if link == "" {
		return
	}
	isDefault := prefix.Bits() <= defaultBits
	source := fmt.Sprintf("router of %s via %s", prefix, link)
	if isDefault {
		source = "router of the default route via " + link
	}
	i := slices.IndexFunc(facts.Routers, func(h model.HostMachine) bool { return h.Address == router })
	if i < 0 {
		facts.Routers = append(facts.Routers, model.HostMachine{Address: router, Source: source})
	} else if isDefault {
		facts.Routers[i].Source = source
	}
}

// inputLinks are the links that routing rules name as what a packet comes in by.
// Those of hostnat's own rules are left out.
func inputLinks(ctx context.Context) (links []string, err error) {
	rules, err := Dump(ctx, func() ([]netlink.Rule, error) { return netlink.RuleList(unix.AF_INET) })
	if err != nil {
		return nil, fmt.Errorf("list routing rules: %w", err)
	}
	for _, r := range rules {
		if r.IifName != "" && r.Protocol != routeOrigin && !slices.Contains(links, r.IifName) {
			links = append(links, r.IifName)
		}
	}
	return links, nil
}

// prefersDefault reports whether the kernel would take the default route r
// rather than best: longest prefix, then lowest metric, then the first.
func prefersDefault(r netlink.Route, best *netlink.Route) bool {
	if destination(r).Addr() != netip.IPv4Unspecified() { // the other half of a split one
		return false
	}
	if best == nil {
		return true
	}
	if a, b := destination(r).Bits(), destination(*best).Bits(); a != b {
		return a > b
	}
	return r.Priority < best.Priority
}

// localPorts reads the range from which the kernel gives ports to clients.
func localPorts() (model.PortRange, error) {
	const path = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(path)
	if err != nil {
		return model.PortRange{}, fmt.Errorf("read local port range: %w", err)
	}
	var r model.PortRange
	if _, err := fmt.Sscan(string(text), &r.Low, &r.High); err != nil {
		return model.PortRange{}, fmt.Errorf("read local port range %q: %w", text, err)
	}
	return r, nil
}
