package reconcile

import (
	"context"
	"errors"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// insideChange is a change of networks and endpoints on its way into the kernel.
type insideChange struct {
	diff.Difference
	was    config.Config // in the kernel
	is     config.Config
	host   model.HostFacts
	before []host.Link // of what goes, as they were
	gone   []host.Link // of these, those that were deleted
	links  []host.Link // that were made or plugged in, and the bridges that endpoints' are in

	plugged []host.Link // of others, as they were before
	free    []host.Link // of others, as they are after they were pulled out
}

// errNotPlain is for a change that turns out to concern more than it seemed.
var errNotPlain = errors.New("a link has more to it than an endpoint")

// changeInside is Change where networks or endpoints came or went: it makes and
// takes away those, and costs the same however many others there are. What it is
// not for, and what goes wrong, is for Apply.
func (k *Kernel) changeInside(ctx context.Context, c config.Config, diff diff.Difference) (model.Report, error) {
	before := *k.applied
	changed, deleted := diff.Mappings.Put(), diff.Mappings.Removed
	if !diff.OnlyInside() || !isPlain(before, c, diff) || slices.ContainsFunc(slices.Concat(changed, deleted), model.Mapping.IsOneToOne) {
		return k.Apply(ctx, c)
	}
	k.applied = nil // until it is
	k.use(c)
	x := insideChange{Difference: diff, was: before.config, is: c, host: before.report.Host}
	if err := k.carryOut(ctx, &x); errors.Is(err, errNotPlain) {
		return k.Apply(ctx, c)
	} else if err != nil {
		k.log.Warn("changing networks and endpoints failed: everything is applied anew", "error", err)
		return k.Apply(ctx, c)
	}
	report, err := k.changeMappings(before.report, c, changed, deleted)
	if err != nil {
		k.log.Warn("changing mappings or leases failed: everything is applied anew", "error", err)
		return k.Apply(ctx, c)
	}
	k.applied = &applied{config: c, report: report}
	return report, nil
}

// isPlain reports whether a change concerns nothing but endpoints' links and
// bridges that hostnat makes, and nothing that follows from all networks together.
func isPlain(before applied, c config.Config, d diff.Difference) bool {
	pointToPoint := make(map[string]bool)
	for _, n := range slices.Concat(d.Networks.Added, d.Networks.Removed) {
		pointToPoint[n.Name] = n.IsPointToPoint()
	}
	special := func(e model.Endpoint) bool {
		return before.report.Absent[e.Name] != nil || len(e.Allow) > 0 || !e.InNamespace() && (pointToPoint[e.Network] || isExternal(c, e.Interface))
	}
	adopted := func(n model.Network) bool { return n.Adopted }
	return !slices.ContainsFunc(d.Endpoints.Added, special) && !slices.ContainsFunc(d.Endpoints.Removed, special) &&
		!slices.ContainsFunc(d.Networks.Added, adopted) && !slices.ContainsFunc(d.Networks.Removed, adopted) &&
		slices.ContainsFunc(c.Networks, model.Network.HasNAT) == slices.ContainsFunc(before.config.Networks, model.Network.HasNAT) &&
		slices.Equal(transparentLinks(c), transparentLinks(before.config))
}

// isExternal reports whether a NAT is bound to a link.
func isExternal(c config.Config, link string) bool {
	return slices.ContainsFunc(c.NATs, func(n model.NAT) bool { return slices.Contains(n.ExternalInterfaces, link) })
}

// carryOut goes in the order of Apply: what nobody wants is taken away, links are
// made, and then the data path is told.
func (k *Kernel) carryOut(ctx context.Context, x *insideChange) error {
	plan, err := k.planChange(ctx, x)
	if err != nil {
		return err
	}
	if err := k.remove(ctx, plan); err != nil {
		return err
	}
	if err := k.find(ctx, othersLinks(x.Endpoints.Removed), &x.free); err != nil {
		return err
	}
	if err := allBare(x.free); err != nil {
		return err
	}
	report := model.Report{Absent: make(map[string]error)}
	if err := k.build(ctx, plan, view{config: x.is}.withLinks(x.links), x.host.MTU, &report); err != nil {
		return err
	}
	if len(report.Absent) > 0 {
		return errNotPlain
	}
	if err := k.find(ctx, x.names(), &x.links); err != nil {
		return err
	}
	return k.tell(ctx, x)
}

// planChange looks at the links that a change concerns and plans for them alone.
func (k *Kernel) planChange(ctx context.Context, x *insideChange) (Plan, error) {
	if len(x.Endpoints.Removed) > 0 {
		links, err := k.links.look(ctx)
		if err != nil {
			return Plan{}, err
		}
		if err := k.leave(ctx, x.is, x.Endpoints.Removed, links); err != nil {
			return Plan{}, err
		}
	}
	err := errors.Join(
		k.find(ctx, x.removedNames(), &x.before),
		k.find(ctx, x.names(), &x.links),
		k.find(ctx, othersLinks(x.Endpoints.Added), &x.plugged),
	)
	if err != nil {
		return Plan{}, err
	}
	if err := allBare(x.plugged); err != nil {
		return Plan{}, err
	}
	for _, e := range x.Endpoints.Removed {
		k.forgetVerified(e.Name)
	}
	var attached []datapath.Attachment
	for _, l := range x.before {
		if a := (datapath.Attachment{Interface: uint32(l.Index), Hook: datapath.InsideIngress}); k.datapath.IsAttached(a) {
			attached = append(attached, a)
		}
	}
	plan := Make(config.Config{Networks: x.Networks.Added, Endpoints: x.Endpoints.Added}, x.before, attached, x.host.MTU)
	for _, l := range x.before {
		if slices.Contains(plan.Delete, l.Name) {
			x.gone = append(x.gone, l)
		}
	}
	return plan, nil
}

func (k *Kernel) find(ctx context.Context, names []string, links *[]host.Link) (err error) {
	*links, err = k.links.find(ctx, names)
	return err
}

// tell tells the host's routing tables and the data path of what was made.
func (k *Kernel) tell(ctx context.Context, x *insideChange) error {
	told, links := slices.Concat(x.before, x.links), x.links
	if x.hasNetworks() {
		var err error
		if told, links, err = k.links.both(ctx); err != nil {
			return err
		}
		before, after := view{config: x.was, host: x.host}.withLinks(told), view{config: x.is, host: x.host}.withLinks(links)
		if err := k.reroute(before.routing(k.insideRule), after.routing(k.insideRule)); err != nil {
			return err
		}
	}
	was, is := x.parts(told, links)
	if err := k.datapath.ChangeInside(was, is); err != nil {
		return err
	}
	if err := k.reattach(attachments(was), attachments(is)); err != nil {
		return err
	}
	return k.expect(x)
}

func (x *insideChange) hasNetworks() bool { return !x.Networks.Empty() }

// removedNames are the links of what goes.
func (x *insideChange) removedNames() (names []string) {
	for _, e := range x.Endpoints.Removed {
		names = append(names, e.Interface)
	}
	for _, n := range x.Networks.Removed {
		names = append(names, n.Bridge)
	}
	return compact(names)
}

// names are the links of what comes, and the bridges of all that come or go.
func (x *insideChange) names() (names []string) {
	for _, n := range x.Networks.Added {
		names = append(names, n.Bridge)
	}
	for _, e := range x.Endpoints.Added {
		names = append(names, e.Interface)
	}
	for _, e := range slices.Concat(x.Endpoints.Added, x.Endpoints.Removed) {
		if n, err := x.is.Network(e.Network); err == nil {
			names = append(names, n.Bridge)
		}
	}
	return compact(names)
}

func compact(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// othersLinks are those of endpoints whose links hostnat has not made.
func othersLinks(endpoints []model.Endpoint) (names []string) {
	for _, e := range endpoints {
		if !e.OwnLink() {
			names = append(names, e.Interface)
		}
	}
	return names
}

// allBare refuses links that make more of a difference outside than being there.
func allBare(links []host.Link) error {
	for _, l := range links {
		if l.MasterIndex != 0 || l.Loopback || len(l.Addresses) > 0 {
			return errNotPlain
		}
	}
	return nil
}
