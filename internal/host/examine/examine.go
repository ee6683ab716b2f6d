// Package examine gathers what package doctor looks at: the kernel's features, the
// firewall, settings, name servers. It also writes what doctor may fix.
package examine

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/sockets"
	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
)

// Examination is what package doctor looks at. Gathering it changes nothing.
type Examination struct {
	Kernel       Release
	Features     []Feature
	Links        []host.Link
	Routes       []host.Route       // of all tables that lead to a link, hostnat's own left out
	Rules        []host.RoutingRule // in the order in which the kernel goes through them
	IPsec        []host.IPsecPolicy // in the order in which the kernel asks them
	Host         model.HostFacts    // as Facts returns them, of links that are not ours
	Sysctls      map[string]string  // by path below /proc/sys; what is not there is left out
	Chains       []Chain
	LegacyTables []string // of iptables-legacy
	Listeners    []model.Listener
	Resolvers    []Resolver // AskResolvers finds them
	Unread       []string   // what could not be looked at, and why: one line each

	NeighboursRefused uint64 // how often there was no room for one more, since the machine started
}

// looked are the settings of the whole host that checks look at.
var looked = []string{
	"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/core/bpf_jit_enable", "kernel/unprivileged_bpf_disabled",
	"net/bridge/bridge-nf-call-iptables", "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max", "net/ipv4/neigh/default/gc_thresh3",
}

// Host looks at the host. bridges are those of our networks, which do not
// count as the host's. What cannot be looked at is told in Unread.
func Host(ctx context.Context, bridges []string) Examination {
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
	x.Links, err = host.Links(ctx)
	note("links", err)
	ours := map[string]bool{host.AnchorName: true}
	for _, name := range bridges {
		ours[name] = true
	}
	for _, l := range x.Links {
		ours[l.Name] = ours[l.Name] || l.Owned()
	}
	x.Host, err = host.Facts(ctx, func(link string) bool { return ours[link] })
	note("addresses and routes", err)
	x.Routes, err = host.Routes(ctx, x.Links)
	note("routes", err)
	x.Rules, err = host.RoutingRules(ctx)
	note("routing rules", err)
	x.IPsec, err = host.IPsecPolicies(ctx)
	note("IPsec policies", err)
	x.readSysctls()
	x.NeighboursRefused = neighboursRefused()
	x.Chains, err = Firewall()
	note("the firewall", err)
	x.LegacyTables = legacyTables()
	x.Listeners, err = sockets.Listeners(ctx)
	note("listening programs", err)
	return x
}

func (x *Examination) readSysctls() {
	paths := looked
	for _, l := range x.Links {
		paths = append(paths[:len(paths):len(paths)], sysctl.OfLink("ipv4", l.Name, "rp_filter"))
	}
	for _, path := range paths {
		if value, err := sysctl.Read(path); err == nil {
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
func (x Examination) Link(name string) (host.Link, bool) {
	for _, l := range x.Links {
		if l.Name == name {
			return l, true
		}
	}
	return host.Link{}, false
}
