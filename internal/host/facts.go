package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/hostnat/hostnat/internal/nat"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// defaultMTU (bytes) stands in where the host has no default route.
const defaultMTU = 1500

// Facts returns what the host itself uses. Links for which exclude is true are
// left out with their addresses and routes; loopback counts only as a prefix.
func Facts(ctx context.Context, exclude func(link string) bool) (nat.HostFacts, error) {
	links, err := Links(ctx)
	if err != nil {
		return nat.HostFacts{}, err
	}
	return FactsOf(ctx, links, exclude)
}

// FactsOf is Facts for who has just listed the links.
func FactsOf(ctx context.Context, links []Link, exclude func(link string) bool) (nat.HostFacts, error) {
	routes, err := listRoutes(ctx)
	if err != nil {
		return nat.HostFacts{}, err
	}
	ports, err := localPorts()
	if err != nil {
		return nat.HostFacts{}, err
	}
	links = slices.DeleteFunc(slices.Clone(links), func(l Link) bool { return exclude != nil && exclude(l.Name) })
	facts := nat.HostFacts{LocalPorts: ports, MTU: defaultMTU}
	addLinks(&facts, links)
	addRoutes(&facts, links, routes)
	return facts, nil
}

func addLinks(facts *nat.HostFacts, links []Link) {
	for _, l := range links {
		if !l.Loopback {
			facts.Interfaces = append(facts.Interfaces, l.Name)
		}
		for _, p := range l.Addresses {
			if slices.Contains(l.Lent, p) {
				continue // ours, and it goes with what we lent it for
			}
			added := slices.Contains(l.External, p)
			if !added {
				facts.Prefixes = append(facts.Prefixes, nat.HostPrefix{Prefix: p.Masked(), Source: "address of " + l.Name})
			}
			if !p.Addr().IsLoopback() {
				facts.Addresses = append(facts.Addresses, nat.HostAddress{Address: p.Addr(), Interface: l.Name, Added: added})
			}
		}
	}
}

func addRoutes(facts *nat.HostFacts, links []Link, routes []netlink.Route) {
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
		link, ok := byIndex[outgoing(r)]
		if !ok {
			continue
		}
		if prefix := destination(r); prefix.Bits() > defaultBits {
			if !seen[prefix] {
				seen[prefix] = true
				facts.Prefixes = append(facts.Prefixes, nat.HostPrefix{Prefix: prefix, Source: "route via " + link.Name})
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
func localPorts() (nat.PortRange, error) {
	const path = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(path)
	if err != nil {
		return nat.PortRange{}, fmt.Errorf("read local port range: %w", err)
	}
	var r nat.PortRange
	if _, err := fmt.Sscan(string(text), &r.Low, &r.High); err != nil {
		return nat.PortRange{}, fmt.Errorf("read local port range %q: %w", text, err)
	}
	return r, nil
}
