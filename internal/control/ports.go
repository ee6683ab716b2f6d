package control

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Ports returns who has which external port, sorted by protocol and port.
func (c *Control) Ports(ctx context.Context, f PortFilter) ([]PortView, error) {
	selected, err := f.Selects()
	if err != nil {
		return nil, err
	}
	cfg, report := c.snapshot()
	facts, err := c.host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	listeners, err := c.host.Listeners(ctx)
	if err != nil {
		return nil, err
	}
	dynamic, err := c.dynamicPorts(ctx, cfg, facts)
	if err != nil {
		return nil, err
	}
	views := slices.Concat(mappedPorts(cfg, report), proxyPorts(cfg, c.relays.States()),
		listenerPorts(foreign(listeners, cfg)), dynamic, ephemeralPorts(facts))
	views = slices.DeleteFunc(views, func(v PortView) bool { return !selected(v) })
	slices.SortStableFunc(views, func(a, b PortView) int {
		return cmp.Or(cmp.Compare(a.Protocol.String(), b.Protocol.String()), cmp.Compare(firstPort(a), firstPort(b)),
			a.Address.Compare(b.Address), cmp.Compare(a.Owner, b.Owner))
	})
	return views, nil
}

// Selects returns a function that says whether a row is selected.
func (f PortFilter) Selects() (func(PortView) bool, error) {
	var protocol model.Protocol
	var ports model.PortRange
	var err error
	if f.Protocol != "" {
		if protocol, err = model.ParseProtocol(f.Protocol); err != nil {
			return nil, err
		}
	}
	if f.Ports != "" {
		if ports, err = model.ParsePortRange("port", f.Ports); err != nil {
			return nil, err
		}
	}
	return func(v PortView) bool {
		return (protocol == 0 || v.Protocol == protocol) && (f.Ports == "" || v.has(ports))
	}, nil
}

// has reports whether a row has one of the wanted ports: its own are ranges,
// separated by commas.
func (v PortView) has(wanted model.PortRange) bool {
	for text := range strings.SplitSeq(v.Ports, ",") {
		if r, err := model.ParsePortRange("port", text); err == nil && r.Overlaps(wanted) {
			return true
		}
	}
	return false
}

func firstPort(v PortView) int {
	text, _, _ := strings.Cut(v.Ports, "-")
	n, _ := strconv.Atoi(text) // hostnat's own text
	return n
}

func mappedPorts(cfg config.Config, report Report) (views []PortView) {
	for _, m := range cfg.Mappings {
		protocols := []model.Protocol{m.Protocol}
		if m.IsOneToOne() {
			protocols = []model.Protocol{model.TCP, model.UDP}
		}
		for _, p := range protocols {
			at := model.AddrPorts{Address: m.External.Address, Ports: m.Ports()}
			v := ownedPorts(p, at, MappedPort, fmt.Sprintf("%s (mapping %d)", m.TargetText(), m.ID))
			if !serves(cfg, report, m) {
				*v.InUse = 0
			}
			views = append(views, v)
		}
	}
	return views
}

// listenerPorts has one row for a program that opened a port several times.
func listenerPorts(listeners []model.Listener) (views []PortView) {
	seen := make(map[model.Listener]bool)
	for _, l := range listeners {
		if !seen[l] {
			seen[l] = true
			views = append(views, ownedPorts(l.Protocol, model.SinglePort(l.Address), ListenerPort, program(l)))
		}
	}
	return views
}

// ownedPorts are ports that are in use all of them.
func ownedPorts(p model.Protocol, a model.AddrPorts, kind PortKind, owner string) PortView {
	text := fmt.Sprint(a.Ports.Low)
	if a.IsRange() {
		text = a.Ports.String()
	}
	used := a.Count()
	return PortView{Protocol: p, Address: a.Address, Ports: text, Kind: kind, Owner: owner, Count: used, InUse: &used}
}

func ephemeralPorts(facts model.HostFacts) (views []PortView) {
	if facts.LocalPorts == (model.PortRange{}) {
		return nil
	}
	for _, p := range []model.Protocol{model.TCP, model.UDP} {
		views = append(views, severalPorts(p, netip.IPv4Unspecified(), []model.PortRange{facts.LocalPorts}, EphemeralPorts, "the host"))
	}
	return views
}

func severalPorts(p model.Protocol, a netip.Addr, ranges []model.PortRange, kind PortKind, owner string) PortView {
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
func (c *Control) dynamicPorts(ctx context.Context, cfg config.Config, facts model.HostFacts) (views []PortView, err error) {
	ranges := pools(cfg, facts)
	used, err := c.usedPorts(ctx)
	if err != nil {
		return nil, err
	}
	for at := range used {
		if ranges[at.pool] == nil {
			ranges[at.pool] = model.DefaultPorts.Without(facts.LocalPorts)
		}
	}
	for at, ports := range ranges {
		for _, p := range []model.Protocol{model.TCP, model.UDP, model.ICMP} {
			v := severalPorts(p, at.address, ports, DynamicPorts, "NAT "+at.nat)
			n := used[poolUse{at, p}]
			v.InUse, v.NAT = &n, at.nat
			views = append(views, v)
		}
	}
	return views, nil
}

// pools are where the NATs would open bindings now.
func pools(cfg config.Config, facts model.HostFacts) map[pool][]model.PortRange {
	ranges := make(map[pool][]model.PortRange)
	for _, n := range cfg.NATs {
		for _, a := range externalAddresses(n, facts) {
			if isOneToOne(cfg, a.Address) {
				continue
			}
			at := pool{n.Name, a.Address}
			ranges[at] = append(ranges[at], a.Ports.Without(facts.LocalPorts)...)
		}
	}
	return ranges
}

// poolUse is the part of a pool that one protocol has.
type poolUse struct {
	pool
	model.Protocol
}

// usedPorts counts the dynamic bindings.
func (c *Control) usedPorts(ctx context.Context) (map[poolUse]int, error) {
	used := make(map[poolUse]int)
	for b, err := range c.tables.Bindings(ctx, model.Selection{}) {
		if err != nil {
			return nil, err
		}
		if !b.Configured {
			used[poolUse{pool{b.NAT, b.External.Addr()}, b.Protocol}]++
		}
	}
	return used, nil
}
