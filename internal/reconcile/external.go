package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// External is an address of a NAT on an interface of the host.
type External struct {
	Link    string
	Address netip.Prefix // /32
}

// Externals is what to do to the host's addresses for the NATs.
type Externals struct {
	Add      []External
	Remove   []External   // added by hostnat, and wanted elsewhere or no more
	Homeless []netip.Addr // to be added, and there is no interface for them
}

// MakeExternals compares the addresses that hostnat is to add with those that
// the host has. One that the host has by itself is left to it. It changes
// nothing.
func MakeExternals(c config.Config, links []host.Link, defaultInterface string) Externals {
	var e Externals
	home := make(map[netip.Addr]string) // of the addresses that are ours
	for _, n := range c.NATs {
		for _, a := range n.ExternalAddresses {
			if _, seen := home[a.Address]; seen || !a.Added || hasOwn(links, a.Address) {
				continue
			}
			home[a.Address] = homeOf(n, a.Address, c, links, defaultInterface)
			switch link := home[a.Address]; {
			case link == "":
				e.Homeless = append(e.Homeless, a.Address)
			case !isAdded(links, link, a.Address):
				e.Add = append(e.Add, External{link, netip.PrefixFrom(a.Address, 32)})
			}
		}
	}
	for _, l := range links {
		for _, p := range l.External {
			if link, wanted := home[p.Addr()]; !wanted || link != l.Name {
				e.Remove = append(e.Remove, External{l.Name, p})
			}
		}
	}
	return e
}

// homeOf is the interface on which an address of a NAT belongs: the first of
// those the NAT is bound to; else the one whose own prefix holds the address, as
// that net's machines ask for it there; else the way out; else where it is.
func homeOf(n model.NAT, a netip.Addr, c config.Config, links []host.Link, defaultInterface string) string {
	if len(n.ExternalInterfaces) > 0 {
		for _, name := range n.ExternalInterfaces {
			if slices.ContainsFunc(links, func(l host.Link) bool { return l.Name == name }) {
				return name
			}
		}
		return ""
	}
	best, bits := defaultInterface, -1
	for _, l := range (view{config: c, links: links}).outsides() {
		for _, p := range l.Addresses {
			if p.Contains(a) && p.Bits() > bits && !slices.Contains(l.External, p) {
				best, bits = l.Name, p.Bits()
			}
		}
	}
	for _, l := range links {
		if best == "" && isAdded(links, l.Name, a) {
			best = l.Name
		}
	}
	return best
}

func hasOwn(links []host.Link, a netip.Addr) bool {
	return slices.ContainsFunc(links, func(l host.Link) bool {
		return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a && !slices.Contains(l.External, p) })
	})
}

func isAdded(links []host.Link, name string, a netip.Addr) bool {
	return slices.ContainsFunc(links, func(l host.Link) bool {
		return l.Name == name && slices.Contains(l.External, netip.PrefixFrom(a, 32))
	})
}

// refusal is an address that another machine had.
type refusal struct {
	err  error
	link string
	at   time.Time
}

// retryRefused is how long such an address is not asked for again: each time,
// Apply waits for answers on the wire.
const retryRefused = time.Minute

// place carries out e. What does not work is reported; the rest need not suffer.
func (k *Kernel) place(ctx context.Context, e Externals, report *model.Report) {
	report.Addresses = make(map[netip.Addr]error)
	fail := func(a netip.Addr, err error) {
		report.Addresses[a] = err
		report.Problems = append(report.Problems, fmt.Sprintf("external address %s is not added: %v", a, err))
	}
	for _, x := range e.Remove {
		if err := host.RemoveExternal(ctx, x.Link, x.Address); err != nil {
			report.Problems = append(report.Problems, err.Error())
		}
	}
	for _, a := range e.Homeless {
		fail(a, model.Errorf(model.NotFound, "no interface of the host is on the way out").WithHint("bring one up, or bind the NAT to one: nat set NAT external-interface=IF"))
	}
	refused := make(map[netip.Addr]refusal)
	for _, x := range e.Add {
		a := x.Address.Addr()
		r, known := k.refused[a]
		if !known || r.link != x.Link || time.Since(r.at) > retryRefused {
			r = refusal{host.AddExternal(ctx, x.Link, a), x.Link, time.Now()}
		}
		if r.err != nil {
			fail(a, r.err)
		}
		if model.CodeOf(r.err) == model.Conflict {
			refused[a] = r
		}
	}
	k.refused = refused
}

// outsideProblems says what of the NATs' outside the host does not have.
func (v view) outsideProblems() (problems []string) {
	for _, n := range v.config.NATs {
		for _, name := range n.ExternalInterfaces {
			if _, ok := v.link(name); !ok {
				problems = append(problems, fmt.Sprintf("external interface %s of NAT %s does not exist", name, n.Name))
			}
		}
		for _, a := range n.ExternalAddresses {
			if !a.Added && !v.has(a.Address) {
				problems = append(problems, fmt.Sprintf("external address %s of NAT %s is on no interface of the host", a.Address, n.Name))
			}
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems) // an address may have several ranges
}

// has reports whether the host has an address at all.
func (v view) has(a netip.Addr) bool {
	return slices.ContainsFunc(v.links, func(l host.Link) bool {
		return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
	})
}

// removeExternals takes all addresses that hostnat added away.
func removeExternals(ctx context.Context, links []host.Link) error {
	var errs []error
	for _, x := range MakeExternals(config.Config{}, links, "").Remove {
		errs = append(errs, host.RemoveExternal(ctx, x.Link, x.Address))
	}
	return errors.Join(errs...)
}
