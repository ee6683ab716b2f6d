package control

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/nat"
)

// Ports returns who has which external port, sorted by protocol and port. An
// empty protocol is all of them.
func (c *Control) Ports(ctx context.Context, protocol string) ([]PortView, error) {
	var only nat.Protocol
	if protocol != "" {
		var err error
		if only, err = nat.ParseProtocol(protocol); err != nil {
			return nil, err
		}
	}
	config, report := c.snapshot()
	facts, err := c.kernel.Facts(ctx)
	if err != nil {
		return nil, err
	}
	listeners, err := c.kernel.Listeners(ctx)
	if err != nil {
		return nil, err
	}
	bindings, err := c.kernel.Bindings(ctx)
	if err != nil {
		return nil, err
	}
	views := slices.Concat(mappedPorts(config, report), proxyPorts(config, c.relays.States()),
		listenerPorts(foreign(listeners, config)), dynamicPorts(config, facts, bindings), ephemeralPorts(facts))
	views = slices.DeleteFunc(views, func(v PortView) bool { return only != 0 && v.Protocol != only })
	slices.SortStableFunc(views, func(a, b PortView) int {
		return cmp.Or(cmp.Compare(a.Protocol.String(), b.Protocol.String()), cmp.Compare(firstPort(a), firstPort(b)),
			a.Address.Compare(b.Address), cmp.Compare(a.Owner, b.Owner))
	})
	return views, nil
}

func firstPort(v PortView) int {
	text, _, _ := strings.Cut(v.Ports, "-")
	n, _ := strconv.Atoi(text) // hostnat's own text
	return n
}

func mappedPorts(config nat.Config, report Report) (views []PortView) {
	for _, m := range config.Mappings {
		protocols := []nat.Protocol{m.Protocol}
		if m.IsWhole() {
			protocols = []nat.Protocol{nat.TCP, nat.UDP}
		}
		for _, p := range protocols {
			at := nat.AddrPorts{Address: m.External.Address, Ports: m.Ports()}
			v := ownedPorts(p, at, MappedPort, fmt.Sprintf("%s (mapping %d)", m.TargetText(), m.ID))
			if !report.Active[m.ID] {
				*v.InUse = 0
			}
			views = append(views, v)
		}
	}
	return views
}

// listenerPorts has one row for a program that opened a port several times.
func listenerPorts(listeners []nat.Listener) (views []PortView) {
	seen := make(map[nat.Listener]bool)
	for _, l := range listeners {
		if !seen[l] {
			seen[l] = true
			views = append(views, ownedPorts(l.Protocol, nat.SinglePort(l.Address), ListenerPort, program(l)))
		}
	}
	return views
}

// ownedPorts are ports that are in use all of them.
func ownedPorts(p nat.Protocol, a nat.AddrPorts, kind PortKind, owner string) PortView {
	text := fmt.Sprint(a.Ports.Low)
	if a.IsRange() {
		text = a.Ports.String()
	}
	used := a.Count()
	return PortView{Protocol: p, Address: a.Address, Ports: text, Kind: kind, Owner: owner, Count: used, InUse: &used}
}

func ephemeralPorts(facts nat.HostFacts) (views []PortView) {
	if facts.LocalPorts == (nat.PortRange{}) {
		return nil
	}
	for _, p := range []nat.Protocol{nat.TCP, nat.UDP} {
		views = append(views, severalPorts(p, netip.IPv4Unspecified(), []nat.PortRange{facts.LocalPorts}, EphemeralPorts, "the host"))
	}
	return views
}

func severalPorts(p nat.Protocol, a netip.Addr, ranges []nat.PortRange, kind PortKind, owner string) PortView {
	v := PortView{Protocol: p, Address: a, Ports: rangesText(ranges), Kind: kind, Owner: owner}
	for _, r := range ranges {
		v.Count += r.Size()
	}
	return v
}

// pool is what one NAT gives out on one address.
type pool struct {
	nat     string
	address netip.Addr
}

// dynamicPorts has a row for each pool and protocol. Pools are where the NATs
// would open bindings now, and where they have some.
func dynamicPorts(config nat.Config, facts nat.HostFacts, bindings []nat.Binding) (views []PortView) {
	ranges := make(map[pool][]nat.PortRange)
	for _, n := range config.NATs {
		for _, a := range externalAddresses(n, facts) {
			if isWhole(config, a.Address) {
				continue
			}
			at := pool{n.Name, a.Address}
			ranges[at] = append(ranges[at], a.Ports.Without(facts.LocalPorts)...)
		}
	}
	type use struct {
		pool
		nat.Protocol
	}
	used := make(map[use]int)
	for _, b := range bindings {
		if b.Configured {
			continue
		}
		at := pool{b.NAT, b.External.Addr()}
		used[use{at, b.Protocol}]++
		if ranges[at] == nil {
			ranges[at] = nat.DefaultPorts.Without(facts.LocalPorts)
		}
	}
	for at, ports := range ranges {
		for _, p := range []nat.Protocol{nat.TCP, nat.UDP, nat.ICMP} {
			v := severalPorts(p, at.address, ports, DynamicPorts, "NAT "+at.nat)
			n := used[use{at, p}]
			v.InUse = &n
			views = append(views, v)
		}
	}
	return views
}
