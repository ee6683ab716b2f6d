package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// OwnRule is a routing rule of hostnat's.
type OwnRule struct {
	Priority int
	From     string // name of the link that packets come in by; "lo": the host's own
	Mark     uint32 // that they have; 0: whatever they have
	Table    int    // that they are routed by
}

// String is what a message calls the rule.
func (r OwnRule) String() string {
	return fmt.Sprintf("routing rule %d (table %d)", r.Priority, r.Table)
}

func (r OwnRule) message() *netlink.Rule {
	m := netlink.NewRule()
	m.Family, m.Priority, m.Protocol = unix.AF_INET, r.Priority, routeOrigin
	m.IifName, m.Table, m.Mark = r.From, r.Table, r.Mark
	if r.Mark != 0 {
		mask := uint32(0xffffffff)
		m.Mask = &mask
	}
	return m
}

// AddRule adds a rule. One that is there is fine.
func AddRule(r OwnRule) error {
	if err := netlink.RuleAdd(r.message()); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s: %w", r, err)
	}
	return nil
}

// DeleteRule deletes a rule. One that is gone is fine.
func DeleteRule(r OwnRule) error {
	if err := netlink.RuleDel(r.message()); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete %s: %w", r, err)
	}
	return nil
}

// RoutingRule is an IPv4 routing rule of the host.
type RoutingRule struct {
	Priority int
	Table    int          // 0: none, it refuses
	Inverted bool         // for all that the rest does not describe
	From, To netip.Prefix // the zero value: all
	In, Out  string       // names of links; Out: of sockets that are bound to it
	Mark     uint32       // 0: whatever packets have
	Users    string       // "1000-1000"; empty: all
	Jumps    bool         // to another rule
	Ours     bool         // hostnat has made it
}

func routingRuleFrom(r netlink.Rule) RoutingRule {
	rule := RoutingRule{
		Priority: r.Priority, Table: r.Table, Inverted: r.Invert, In: r.IifName, Out: r.OifName, Mark: r.Mark,
		Jumps: r.Goto >= 0, Ours: r.Protocol == routeOrigin && IsOwnTable(r.Table),
	}
	if r.Src != nil {
		rule.From = destinationOf(r.Src)
	}
	if r.Dst != nil {
		rule.To = destinationOf(r.Dst)
	}
	if r.UIDRange != nil {
		rule.Users = fmt.Sprintf("%d-%d", r.UIDRange.Start, r.UIDRange.End)
	}
	return rule
}

// RoutingRules returns all IPv4 rules in the order in which the kernel goes through
// them.
func RoutingRules(ctx context.Context) ([]RoutingRule, error) {
	all, err := Dump(ctx, func() ([]netlink.Rule, error) { return netlink.RuleList(unix.AF_INET) })
	if err != nil {
		return nil, fmt.Errorf("list routing rules: %w", err)
	}
	rules := make([]RoutingRule, len(all))
	for i, r := range all {
		rules[i] = routingRuleFrom(r)
	}
	return rules, nil
}

// Own returns the rule if hostnat has made it.
func (r RoutingRule) Own() (OwnRule, bool) {
	return OwnRule{Priority: r.Priority, From: r.In, Mark: r.Mark, Table: r.Table}, r.Ours
}

// deleteRules deletes all rules of hostnat's.
func deleteRules(ctx context.Context) error {
	rules, err := RoutingRules(ctx)
	for _, r := range rules {
		if own, is := r.Own(); is {
			err = errors.Join(err, DeleteRule(own))
		}
	}
	return err
}

// DeleteRouting takes hostnat's rules and routes away.
func DeleteRouting(ctx context.Context) error {
	return errors.Join(deleteRules(ctx), deleteRoutes(ctx))
}

// insidePriority is where the rule for InsideTable stands: VPN clients, cloud
// agents and netplan put theirs at 100 and above.
const insidePriority = 50

// InsideRule is the rule that has what the host sends itself, answers too, and
// the kernel's look-up for packets' sources, routed by InsideTable. It stands
// behind the host's own addresses (table local) and before each rule that would
// send what is for these subnets elsewhere: `ip rule add` without a preference
// puts a rule before all others that there are.
func InsideRule(rules []RoutingRule, subnets []netip.Prefix) OwnRule {
	local := 0
	for _, r := range rules {
		if r.Table == unix.RT_TABLE_LOCAL && r.isPlain() {
			local = r.Priority
		}
	}
	want := OwnRule{Priority: max(insidePriority, local), From: "lo", Table: InsideTable}
	behind := false           // table local
	for _, r := range rules { // in order
		own, is := r.Own()
		is = is && OwnRule{own.Priority, want.From, 0, want.Table} == own
		switch {
		case is && behind && own.Priority <= want.Priority:
			return own // nothing stands in its way
		case r.Captures(subnets) && behind && r.Priority > local && r.Priority <= want.Priority:
			want.Priority = r.Priority - 1
			return want
		}
		behind = behind || r.Table == unix.RT_TABLE_LOCAL && r.isPlain()
	}
	return want
}

// isPlain reports whether the rule is for all packets.
func (r RoutingRule) isPlain() bool {
	return r == RoutingRule{Priority: r.Priority, Table: r.Table}
}

// Captures reports whether the rule may send elsewhere what the host sends to the
// subnets. What programs have marked on purpose does not count, nor do sockets
// that are bound to a link.
func (r RoutingRule) Captures(subnets []netip.Prefix) bool {
	switch r.Table {
	case unix.RT_TABLE_LOCAL, unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT, InsideTable, transparentTable:
		if !r.Jumps {
			return false
		}
	}
	if r.Inverted {
		return true
	}
	if r.Mark != 0 || r.Out != "" || r.In != "" && r.In != "lo" {
		return false
	}
	return !r.To.IsValid() || slices.ContainsFunc(subnets, r.To.Overlaps)
}

// String is the rule as `ip rule` shows it, as far as a message needs it.
func (r RoutingRule) String() string {
	var text strings.Builder
	add := func(is bool, format string, a ...any) {
		if is {
			fmt.Fprintf(&text, format, a...)
		}
	}
	add(true, "%d: ", r.Priority)
	add(r.Inverted, "not ")
	add(r.From.IsValid(), "from %s", r.From)
	add(!r.From.IsValid(), "from all")
	add(r.To.IsValid(), " to %s", r.To)
	add(r.Mark != 0, " fwmark %#x", r.Mark)
	add(r.In != "", " iif %s", r.In)
	add(r.Users != "", " uidrange %s", r.Users)
	add(r.Table != 0, " lookup %d", r.Table)
	return text.String()
}
