package doctor

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/host/examine"
	"github.com/hostnat/hostnat/internal/model"
)

var forwardFirewallCheck = check{
	name: "bridged-frames", looks: "whether the firewall drops what endpoints of one network send to each other",
	find: func(f Facts) (found []Finding) {
		families := []string{"bridge"}
		if f.framesPassIPTables() {
			families = append(families, "ip", "inet")
		}
		for _, n := range f.Config.Networks {
			if n.PerEndpoint() || n.IsSwitched() && n.PortSecurity.On() {
				continue // nobody there to send frames to, or they do not go up the bridge
			}
			p := packet{in: n.Bridge, out: n.Bridge, source: n.Gateway4().Next(), destination: n.Gateway4().Next().Next(), protocol: uint8(model.TCP), port: 80}
			chain, eaten := firewall(f.Host.Chains).eats(families, "forward", p)
			if !eaten {
				continue
			}
			found = append(found, bridgedFinding(n, chain, f.Host.Chains))
		}
		return found
	},
}

// framesPassIPTables reports whether br_netfilter shows the frames of bridges to
// the chains for IPv4.
func (f Facts) framesPassIPTables() bool {
	on, _ := f.Host.Sysctl("net/bridge/bridge-nf-call-iptables")
	return on != 0
}

func bridgedFinding(n model.Network, chain examine.Chain, all []examine.Chain) Finding {
	finding := Finding{
		Severity: Problem, What: fmt.Sprintf("the firewall (%s) drops what endpoints of network %s send to each other", chainName(chain), n.Name),
		Why:     "frames of a bridge pass it because br_netfilter is loaded (Docker does that); what goes to the outside does not",
		Command: fmt.Sprintf("nft insert rule %s %s %s iifname %s oifname %s accept", chain.Family, chain.Table, chain.Name, n.Bridge, n.Bridge),
	}
	if chain.Family == "bridge" {
		finding.Why = "frames of a bridge pass it; what goes to the outside does not"
		finding.Command = fmt.Sprintf("nft insert rule bridge %s %s meta ibrname %s accept", chain.Table, chain.Name, n.Bridge)
		return finding
	}
	if chain.Family == "ip" && chain.Table == "filter" && chain.Name == "FORWARD" {
		name := "FORWARD"
		if hasChain(all, chain, "DOCKER-USER") {
			name = "DOCKER-USER" // Docker keeps what is in there
		}
		finding.Command = fmt.Sprintf("iptables -I %s -i %s -o %s -j ACCEPT", name, n.Bridge, n.Bridge)
		finding.fix = &Fix{AcceptBridged: &BridgeRule{Table: "filter", Chain: name, Bridge: n.Bridge}}
	}
	return finding
}

func hasChain(all []examine.Chain, beside examine.Chain, name string) bool {
	_, found := firewall(all).chain(beside, name)
	return found
}

func chainName(c examine.Chain) string { return c.Family + " " + c.Table + " " + c.Name }

var inputFirewallCheck = check{
	name: "host-services", looks: "whether the firewall drops DNS from endpoints to the host",
	find: func(f Facts) (found []Finding) {
		services := []struct {
			name     string
			protocol model.Protocol
			port     uint16
		}{{"DNS", model.UDP, 53}, {"DNS over TCP", model.TCP, 53}} // the DHCP server has the frames before the firewall
		for _, n := range f.examples() {
			var eaten []string
			var by examine.Chain
			for _, s := range services {
				p := packet{in: n.Bridge, source: n.Gateway4().Next(), destination: n.Gateway4(), protocol: uint8(s.protocol), port: s.port}
				if chain, drops := firewall(f.Host.Chains).eats([]string{"ip", "inet"}, "input", p); drops {
					eaten, by = append(eaten, s.name), chain
				}
			}
			if len(eaten) == 0 {
				continue
			}
			found = append(found, Finding{
				Severity: Warning, What: fmt.Sprintf("the firewall (%s) drops %s from network %s to the host", chainName(by), strings.Join(eaten, ", "), n.Name),
				Why:     "endpoints get no names from the gateway; DHCP, and what goes to the outside, passes no firewall",
				Command: fmt.Sprintf("nft insert rule %s %s %s iifname %s accept", by.Family, by.Table, by.Name, n.Bridge),
			})
		}
		return found
	},
}

var legacyFirewallCheck = check{
	name: "iptables-legacy", looks: "whether rules of iptables-legacy are in force",
	find: func(f Facts) []Finding {
		if len(f.Host.LegacyTables) == 0 || len(f.Config.Networks) == 0 {
			return nil
		}
		return []Finding{{
			Severity: Note, What: "iptables-legacy has tables: " + strings.Join(f.Host.LegacyTables, ", "),
			Why:     "doctor cannot read their rules; they apply beside those of nftables, also to frames between endpoints if br_netfilter is loaded",
			Command: "iptables-legacy -S FORWARD; iptables-legacy -t nat -S",
		}}
	},
}

var natRulesCheck = check{
	name: "nat-rules", looks: "NAT rules of others (Docker, libvirt, nftables) on our prefixes and published ports",
	find: func(f Facts) (found []Finding) {
		for _, c := range f.Host.Chains {
			for _, r := range c.Rules {
				found = append(found, f.foreignSource(c, r)...)
				found = append(found, f.foreignPort(c, r)...)
			}
		}
		return found
	},
}

func (f Facts) foreignSource(c examine.Chain, r examine.Rule) (found []Finding) {
	m := r.Match.Source
	if r.Does != "masquerade" && r.Does != "snat" || !m.Prefix.IsValid() || m.Not {
		return nil
	}
	bridged := f.framesPassIPTables()
	severity, why := Warning, "hostnat translates the network already, past such rules; this one rewrites what the host itself sends, and shows that somebody else thinks the prefix is his"
	for _, n := range f.Config.Networks {
		if !m.Prefix.Overlaps(n.Subnet4()) {
			continue
		}
		severity, why := severity, why
		if bridged && !(n.IsSwitched() && n.PortSecurity.On()) {
			severity, why = Problem, "frames between endpoints pass it (br_netfilter is loaded) and get another source on the way: they do not reach each other"
		}
		found = append(found, Finding{
			Severity: severity, What: fmt.Sprintf("a %s rule for %s (%s) covers network %s (%s)", r.Does, m.Prefix, chainName(c), n.Name, n.Subnet4()),
			Why:     why,
			Command: fmt.Sprintf("nft -a list chain %s %s %s, then delete the rule by its handle, or hostnat network renumber %s", c.Family, c.Table, c.Name, n.Name),
		})
	}
	return found
}

// foreignPort finds published ports that a DNAT rule of others wants too.
func (f Facts) foreignPort(c examine.Chain, r examine.Rule) (found []Finding) {
	if r.Does != "dnat" || r.Match.Ports == (examine.PortMatch{}) {
		return nil
	}
	for _, m := range f.Config.Mappings {
		ports := m.Ports()
		if (uint8(m.Protocol) != r.Match.Protocol && !m.IsOneToOne()) || ports.High < r.Match.Ports.Low || ports.Low > r.Match.Ports.High || !mayMeet(r.Match.Destination, m.External.Address) {
			continue
		}
		found = append(found, Finding{
			Severity: Warning, What: fmt.Sprintf("mapping %s is published by a rule of somebody else too (%s)", m, chainName(c)),
			Why:     "hostnat has the packets first: what the other one published is not reached any more",
			Command: fmt.Sprintf("hostnat mapping delete %d, or publish the other one on another port", m.ID),
		})
	}
	return found
}

func mayMeet(m examine.PrefixMatch, a netip.Addr) bool {
	return !m.Prefix.IsValid() || m.Not || a.IsUnspecified() || m.Prefix.Contains(a)
}
