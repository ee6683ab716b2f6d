package host

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"

	"github.com/hostnat/hostnat/internal/model"
)

// Examination is what package doctor looks at. Gathering it changes nothing.
type Examination struct {
	Kernel       Release
	Features     []Feature
	Links        []Link
	Routes       []Route           // of all tables that lead to a link, hostnat's own left out
	Rules        []RoutingRule     // in the order in which the kernel goes through them
	IPsec        []IPsecPolicy     // in the order in which the kernel asks them
	Host         model.HostFacts   // as Facts returns them, of links that are not ours
	Sysctls      map[string]string // by path below /proc/sys; what is not there is left out
	Chains       []Chain
	LegacyTables []string // of iptables-legacy
	Listeners    []model.Listener
	Resolvers    []Resolver // AskResolvers finds them
	Unread       []string   // what could not be looked at, and why: one line each

	NeighboursRefused uint64 // how often there was no room for one more, since the machine started
}

// Route is an IPv4 route of the host.
type Route struct {
	Prefix netip.Prefix // 0.0.0.0/0: the default route
	Link   string
	Table  int
}

// looked are the settings of the whole host that checks look at.
var looked = []string{
	"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/core/bpf_jit_enable", "kernel/unprivileged_bpf_disabled",
	"net/bridge/bridge-nf-call-iptables", "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max", "net/ipv4/neigh/default/gc_thresh3",
}

// Examine looks at the host. bridges are those of our networks, which do not
// count as the host's. What cannot be looked at is told in Unread.
func Examine(ctx context.Context, bridges []string) Examination {
	x := Examination{Sysctls: make(map[string]string)}
	note := func(what string, err error) {
		if err != nil {
			x.Unread = append(x.Unread, fmt.Sprintf("%s: %v", what, err))
		}
	}
	var err error
	x.Kernel, err = KernelRelease()
	note("the kernel's version", err)
	x.Features = probeFeatures()
	x.Links, err = Links(ctx)
	note("links", err)
	ours := map[string]bool{AnchorName: true}
	for _, name := range bridges {
		ours[name] = true
	}
	for _, l := range x.Links {
		ours[l.Name] = ours[l.Name] || l.Owned()
	}
	x.Host, err = Facts(ctx, func(link string) bool { return ours[link] })
	note("addresses and routes", err)
	x.Routes, err = routes(ctx, x.Links)
	note("routes", err)
	x.Rules, err = RoutingRules(ctx)
	note("routing rules", err)
	x.IPsec, err = IPsecPolicies(ctx)
	note("IPsec policies", err)
	x.readSysctls()
	x.NeighboursRefused = neighboursRefused()
	x.Chains, err = Firewall()
	note("the firewall", err)
	x.LegacyTables = legacyTables()
	x.Listeners, err = Listeners(ctx)
	note("listening programs", err)
	return x
}

func routes(ctx context.Context, links []Link) ([]Route, error) {
	all, err := listRoutes(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[int]string)
	for _, l := range links {
		names[l.Index] = l.Name
	}
	return routesFrom(all, names), nil
}

func routesFrom(all []netlink.Route, names map[int]string) []Route {
	var list []Route
	for _, r := range all {
		list = append(list, Route{Prefix: destination(r), Link: names[outgoing(r)], Table: r.Table})
	}
	return list
}

func (x *Examination) readSysctls() {
	paths := looked
	for _, l := range x.Links {
		paths = append(paths[:len(paths):len(paths)], linkSysctl("ipv4", l.Name, "rp_filter"))
	}
	for _, path := range paths {
		if value, err := readSysctl(path); err == nil {
			x.Sysctls[path] = value
		}
	}
}

// Sysctl returns a setting's number, and false if the kernel does not have it.
func (x Examination) Sysctl(path string) (int, bool) {
	n, err := strconv.Atoi(x.Sysctls[path])
	return n, err == nil
}

// Link returns the link of that name.
func (x Examination) Link(name string) (Link, bool) {
	for _, l := range x.Links {
		if l.Name == name {
			return l, true
		}
	}
	return Link{}, false
}
