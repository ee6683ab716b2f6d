package examine

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Chain is a chain of the host's nftables, iptables-nft's included.
type Chain struct {
	Family   string // "ip", "inet" or "bridge"
	Table    string
	Name     string
	Hook     string // "input", "forward", "prerouting"...; empty: reached by jumps alone
	Priority int    // lower goes first
	Drops    bool   // what no rule decides is dropped
	Rules    []Rule
}

// Rule is as much of a rule as is understood.
type Rule struct {
	Match  Match
	Does   string // "accept", "drop", "jump", "goto", "return", "masquerade", "snat", "dnat"; empty: nothing of that
	Target string // of a jump or goto: the chain
}

// Match is what a rule asks of a packet: all of what is set.
type Match struct {
	In, Out             LinkMatch
	Source, Destination PrefixMatch
	Protocol            uint8     // 0: any
	Ports               PortMatch // destination; zero: any
	Never               bool      // it cannot match IPv4, or not the first packet of a connection
	Unknown             bool      // it asks for more than is understood
}

// PortMatch is a range of ports, host byte order, both ends included; zero: any.
type PortMatch struct{ Low, High uint16 }

// LinkMatch is a link's name, or how it begins.
type LinkMatch struct {
	Name   string // empty: any
	Begins bool
	Not    bool
}

// PrefixMatch is a prefix; not valid: any.
type PrefixMatch struct {
	Prefix netip.Prefix
	Not    bool
}

var firewallFamilies = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip", nftables.TableFamilyINet: "inet", nftables.TableFamilyBridge: "bridge",
}

var firewallHooks = map[nftables.ChainHook]string{
	unix.NF_INET_PRE_ROUTING: "prerouting", unix.NF_INET_LOCAL_IN: "input", unix.NF_INET_FORWARD: "forward",
	unix.NF_INET_LOCAL_OUT: "output", unix.NF_INET_POST_ROUTING: "postrouting",
}

// Firewall returns the chains that IPv4 packets and bridged frames pass, base
// chains in the order in which they are asked. It needs CAP_NET_ADMIN.
func Firewall() ([]Chain, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("read nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains of nftables: %w", err)
	}
	var list []Chain
	for _, c := range chains {
		family, ours := firewallFamilies[c.Table.Family]
		if !ours {
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return nil, fmt.Errorf("list rules of %s %s %s: %w", family, c.Table.Name, c.Name, err)
		}
		list = append(list, chainFrom(family, c, rules))
	}
	slices.SortStableFunc(list, func(a, b Chain) int { return cmp.Compare(a.Priority, b.Priority) })
	return list, nil
}

func chainFrom(family string, c *nftables.Chain, rules []*nftables.Rule) Chain {
	out := Chain{Family: family, Table: c.Table.Name, Name: c.Name}
	if c.Hooknum != nil {
		out.Hook = firewallHooks[*c.Hooknum]
	}
	if c.Priority != nil {
		out.Priority = int(*c.Priority)
	}
	out.Drops = c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
	for _, r := range rules {
		out.Rules = append(out.Rules, ruleFrom(r.Exprs))
	}
	return out
}

// legacyTables returns the tables of the older iptables (iptables-legacy), of
// which the kernel tells no more than the names.
func legacyTables() []string {
	text, err := os.ReadFile("/proc/net/ip_tables_names")
	if err != nil { // not there: none was ever used, or not ours to read
		return nil
	}
	return strings.Fields(string(text))
}

// acceptBridged inserts a rule at the head of a chain that accepts what goes
// from a bridge to itself, as `iptables -I CHAIN -i BR -o BR -j ACCEPT` does.
func acceptBridged(table, chain, bridge string) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("change nftables: %w", err)
	}
	t := &nftables.Table{Name: table, Family: nftables.TableFamilyIPv4}
	name := append([]byte(bridge), 0)
	conn.InsertRule(&nftables.Rule{Table: t, Chain: &nftables.Chain{Name: chain, Table: t}, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept},
	}})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("insert a rule into %s %s: %w", table, chain, err)
	}
	return nil
}
