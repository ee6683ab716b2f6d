package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// remedies are the objects that decide, and the commands that have them decide
// otherwise; none if the packet gets through, or ought to be stopped whatever is set.
func (w World) remedies(t model.Trial, f model.Fate) []Remedy {
	if f.Verdict == model.VerdictLeft && t.Entry == model.EntryOutside && t.Protocol != model.ICMP {
		return []Remedy{publish(t)}
	}
	r, known := event.ParseReason(f.Reason)
	if f.Verdict != model.VerdictDropped || !known {
		return nil
	}
	if make, has := remedyOf[r]; has {
		return make(w, t, f)
	}
	return nil
}

// remedyOf has a function for each reason that a setting decides.
var remedyOf = map[event.Reason]func(World, model.Trial, model.Fate) []Remedy{
	event.IsolatedNetwork:      World.openNetworks,
	event.SpoofedSource:        World.ownSource,
	event.NoNAT:                World.withNAT,
	event.FilteredRemote:       natSetting("filtering=endpoint-independent"),
	event.LinkLocal:            natSetting("link-local=allow"),
	event.EndpointLimit:        natSetting("max-sessions=0 max-ports=0 max-rate=0"),
	event.PortsExhausted:       World.morePorts,
	event.RemoteNotAllowed:     World.allowRemote,
	event.NoRoute:              World.route,
	event.RouteLookup:          World.route,
	event.RouteUnreachable:     World.route,
	event.RouteBlackhole:       World.route,
	event.RouteProhibited:      World.route,
	event.NoNATOutside:         natSetting("external-interface=any"),
	event.NotExternalInterface: natSetting("external-interface=any"),
	event.IPsecPolicy:          fixed("the host's IPsec policies", "ip xfrm policy"),
	event.MACElsewhere:         networkSetting("port-security=off"),
	event.AddressElsewhere:     networkSetting("port-security=off"),
	event.PortLimit:            networkSetting("port-security=off"),
	event.RogueServer:          networkSetting("dhcp=off"),
}

func fixed(object, command string) func(World, model.Trial, model.Fate) []Remedy {
	return func(World, model.Trial, model.Fate) []Remedy { return []Remedy{{object, command}} }
}

func natSetting(setting string) func(World, model.Trial, model.Fate) []Remedy {
	return func(w World, t model.Trial, f model.Fate) []Remedy {
		name := w.natOf(t, f)
		return []Remedy{{"NAT " + name, "hostnat nat set " + name + " " + setting}}
	}
}

func networkSetting(setting string) func(World, model.Trial, model.Fate) []Remedy {
	return func(_ World, _ model.Trial, f model.Fate) []Remedy {
		return []Remedy{{"network " + f.Network, "hostnat network set " + f.Network + " " + setting}}
	}
}

// natOf is the NAT that decided: the sender's; of a packet from outside, the one that
// has the external address.
func (w World) natOf(t model.Trial, f model.Fate) string {
	if f.NAT != "" {
		return f.NAT
	}
	for _, n := range w.Config.NATs {
		for _, a := range n.ExternalAddresses {
			if a.Address == t.To.Addr() {
				return n.Name
			}
		}
	}
	return model.DefaultNAT
}

func publish(t model.Trial) Remedy {
	return Remedy{
		"a mapping, which there is not",
		fmt.Sprintf("hostnat mapping add --protocol %s --external %d --internal ENDPOINT:PORT", t.Protocol, t.To.Port()),
	}
}

// openNetworks: both networks have to be open; inside one, its endpoints.
func (w World) openNetworks(t model.Trial, f model.Fate) (list []Remedy) {
	to := w.networkAt(t.To.Addr(), f.Network)
	if to == f.Network {
		return []Remedy{{"network " + to + ", whose endpoints are isolated", "hostnat network set " + to + " isolation=on"}}
	}
	for _, name := range []string{f.Network, to} {
		if n, found := w.networkNamed(name); found && n.Isolation != model.NotIsolated {
			list = append(list, Remedy{"network " + name + ", which is isolated", "hostnat network set " + name + " isolation=off"})
		}
	}
	return list
}

// networkNamed finds a network by the name that people use: that of a per-endpoint one
// is there once for each endpoint.
func (w World) networkNamed(name string) (model.Network, bool) {
	for _, n := range w.Config.Networks {
		if base, _ := model.CutPointToPoint(n.Name); base == name {
			return n, true
		}
	}
	return model.Network{}, false
}

// networkAt returns the network whose subnet has an address, the sender's own first.
func (w World) networkAt(a netip.Addr, own string) (found string) {
	for _, n := range w.Config.Networks {
		if !n.Subnet4().Contains(a) {
			continue
		}
		found, _ = model.CutPointToPoint(n.Name)
		if found == own {
			return own
		}
	}
	return found
}

func (w World) ownSource(t model.Trial, f model.Fate) []Remedy {
	for _, e := range w.Config.Endpoints {
		if e.Interface == f.Link {
			network, _ := model.CutPointToPoint(e.Network)
			return []Remedy{{
				fmt.Sprintf("endpoint %s, which has %s", e.Name, e.Address4()),
				fmt.Sprintf("hostnat endpoint detach %s; hostnat endpoint attach %s %s --address %s ...", e.Name, network, e.Name, t.From.Addr()),
			}}
		}
	}
	return nil
}

func (w World) withNAT(_ model.Trial, f model.Fate) []Remedy {
	if n, found := w.networkNamed(f.Network); found && n.HasNAT() {
		return []Remedy{{"NAT " + n.NAT + ", which has no external address", "hostnat address add " + n.NAT + " ADDRESS"}}
	}
	return []Remedy{{"network " + f.Network + ", which is behind no NAT", "hostnat network create NAME --subnet PREFIX --nat " + model.DefaultNAT}}
}

func (w World) morePorts(t model.Trial, f model.Fate) []Remedy {
	name := w.natOf(t, f)
	return []Remedy{
		{"NAT " + name, "hostnat nat set " + name + " endpoint-dependent=on"},
		{"the external addresses of NAT " + name, "hostnat address add " + name + " ADDRESS"},
	}
}

func (w World) allowRemote(t model.Trial, _ model.Fate) []Remedy {
	m, found := w.mappingAt(t)
	if !found {
		return nil
	}
	from := ""
	for _, p := range append(slices.Clone(m.From), netip.PrefixFrom(t.From.Addr(), 32)) {
		from += " --from " + p.String()
	}
	return []Remedy{{
		"mapping " + m.String() + ", which is open to other remotes",
		fmt.Sprintf("hostnat mapping delete %d; hostnat mapping add --protocol %s --external %s --internal %s%s", m.ID, m.Protocol, externalText(m), m.TargetText(), from),
	}}
}

// externalText is the mapping's external end as the command line takes it.
func externalText(m model.Mapping) string {
	return strings.TrimPrefix(m.ExternalText(), "*:")
}

// route: the host's own routing decides, or the NAT's own table.
func (w World) route(t model.Trial, f model.Fate) []Remedy {
	if n, err := w.Config.NAT(f.NAT); err == nil && n.Table != 0 {
		return []Remedy{{
			fmt.Sprintf("routing table %d, which NAT %s uses alone", n.Table, n.Name),
			fmt.Sprintf("ip route add %s/32 via ROUTER table %d, or: hostnat nat set %s table=none", t.To.Addr(), n.Table, n.Name),
		}}
	}
	return []Remedy{{"the host's routes and rules", fmt.Sprintf("ip route get %s; ip route add %s/32 via ROUTER", t.To.Addr(), t.To.Addr())}}
}
