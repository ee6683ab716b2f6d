package doctor

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/host/examine"
	"github.com/hostnat/hostnat/internal/model"
)

// packet is the first of a connection, as a firewall sees it.
type packet struct {
	in, out             string // links
	source, destination netip.Addr
	protocol            uint8
	port                uint16 // destination
}

// firewall is the host's chains.
type firewall []examine.Chain

// maxJumps ends a walk through chains that lead to each other; the kernel's own
// limit is 16.
const maxJumps = 16

// eats returns the base chain that drops the packet at a hook. Rules that ask
// for more than is understood are taken not to match.
func (w firewall) eats(families []string, hook string, p packet) (examine.Chain, bool) {
	for _, c := range w {
		if c.Hook != hook || !slices.Contains(families, c.Family) {
			continue
		}
		if fate := w.walk(c, p, maxJumps); fate == "drop" || fate == "" && c.Drops {
			return c, true
		}
	}
	return examine.Chain{}, false
}

// HostDrops names the chain of the host's firewall that drops a packet which comes by a
// link and is for the host itself; empty if none does.
func HostDrops(chains []examine.Chain, link string, t model.Trial) string {
	p := packet{in: link, source: t.From.Addr(), destination: t.To.Addr(), protocol: uint8(t.Protocol), port: t.To.Port()}
	if chain, drops := firewall(chains).eats([]string{"ip", "inet"}, "input", p); drops {
		return chainName(chain)
	}
	return ""
}

// walk returns "accept", "drop", or "" if no rule decides.
func (w firewall) walk(c examine.Chain, p packet, jumps int) string {
	for _, r := range c.Rules {
		if !matches(r.Match, p) {
			continue
		}
		switch r.Does {
		case "accept", "drop":
			return r.Does
		case "return":
			return ""
		case "jump", "goto":
			fate := ""
			if target, found := w.chain(c, r.Target); found && jumps > 0 {
				fate = w.walk(target, p, jumps-1)
			}
			if fate != "" || r.Does == "goto" {
				return fate
			}
		}
	}
	return ""
}

func (w firewall) chain(from examine.Chain, name string) (examine.Chain, bool) {
	for _, c := range w {
		if c.Family == from.Family && c.Table == from.Table && c.Name == name {
			return c, true
		}
	}
	return examine.Chain{}, false
}

func matches(m examine.Match, p packet) bool {
	return !m.Never && !m.Unknown &&
		matchesLink(m.In, p.in) && matchesLink(m.Out, p.out) &&
		matchesPrefix(m.Source, p.source) && matchesPrefix(m.Destination, p.destination) &&
		(m.Protocol == 0 || m.Protocol == p.protocol) &&
		(m.Ports == examine.PortMatch{} || m.Ports.Low <= p.port && p.port <= m.Ports.High)
}

func matchesLink(m examine.LinkMatch, link string) bool {
	if m.Name == "" {
		return true
	}
	return (m.Name == link || m.Begins && strings.HasPrefix(link, m.Name)) != m.Not
}

func matchesPrefix(m examine.PrefixMatch, a netip.Addr) bool {
	return !m.Prefix.IsValid() || m.Prefix.Contains(a) != m.Not
}
