package reconcile

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// applied is what is in the kernel, as far as it was told.
type applied struct {
	config config.Config
	report model.Report
}

// Change makes the kernel equal to c, of which a user, or a lease, has changed
// something. It plans for that part alone, by the same plan and executor as Apply, and goes by
// what was applied: it costs the same however much there is besides. What else happens on the
// host, what Change is not for, and what goes wrong, is for Apply.
func (k *Kernel) Change(ctx context.Context, c config.Config) (model.Report, error) {
	if k.applied == nil {
		return k.Apply(ctx, c)
	}
	before := *k.applied
	x := change{Difference: diff.Of(&before.config, &c), is: c, host: before.report.Host}
	if !isPlain(before, c, x.Difference) {
		return k.Apply(ctx, c)
	}
	k.applied = nil // until it is
	if x.isInside() {
		k.use(c)
	} else {
		k.mu.Lock()
		k.config = c.Clone()
		k.mu.Unlock()
	}
	report, err := k.carryOut(ctx, &x, before.report)
	if err != nil {
		if !errors.Is(err, errNotPlain) {
			k.log.Warn("changing a part failed: everything is applied anew", "error", err)
		}
		return k.Apply(ctx, c)
	}
	k.applied = &applied{config: c, report: report}
	return report, nil
}

// errNotPlain is for a change that turns out to concern more than it seemed.
var errNotPlain = errors.New("a link has more to it than an endpoint")

// isPlain reports whether a change concerns nothing but mappings of ports, endpoints' links and
// bridges that hostnat makes, and nothing that follows from all networks together.
func isPlain(before applied, c config.Config, d diff.Difference) bool {
	pointToPoint := make(map[string]bool)
	for _, n := range slices.Concat(d.Networks.Added, d.Networks.Removed) {
		pointToPoint[n.Name] = n.IsPointToPoint()
	}
	special := func(e model.Endpoint) bool {
		return before.report.Absent[e.Name] != nil || len(e.Allow) > 0 || !e.InNamespace() && e.Kind != model.KindPair && (pointToPoint[e.Network] || isExternal(c, e.Interface))
	}
	adopted := func(n model.Network) bool { return n.Adopted }
	return d.OnlyInside() &&
		!slices.ContainsFunc(slices.Concat(d.Mappings.Put(), d.Mappings.Removed), model.Mapping.IsOneToOne) &&
		!slices.ContainsFunc(slices.Concat(d.Endpoints.Added, d.Endpoints.Removed), special) &&
		!slices.ContainsFunc(slices.Concat(d.Networks.Added, d.Networks.Removed), adopted) &&
		slices.ContainsFunc(c.Networks, model.Network.HasNAT) == slices.ContainsFunc(before.config.Networks, model.Network.HasNAT) &&
		slices.Equal(transparentLinks(c), transparentLinks(before.config))
}

// isExternal reports whether a NAT is bound to a link.
func isExternal(c config.Config, link string) bool {
	return slices.ContainsFunc(c.NATs, func(n model.NAT) bool { return slices.Contains(n.ExternalInterfaces, link) })
}

// change is one on its way into the kernel.
type change struct {
	diff.Difference
	is    config.Config
	host  model.HostFacts
	made  Plan        // what of the plan had to be made
	links []host.Link // of what comes, and the bridges that endpoints' are in
	free  []host.Link // others', as they are after they were pulled out
	gone  []int       // links that were deleted
}

// isInside reports whether networks or endpoints differ.
func (x *change) isInside() bool { return !x.Networks.Empty() || !x.Endpoints.Empty() }

// carryOut goes in the order of Apply: what nobody wants is taken away, links are
// made, and then routing tables and data path are told. It returns the report on the mappings.
func (k *Kernel) carryOut(ctx context.Context, x *change, report model.Report) (model.Report, error) {
	if x.isInside() {
		if err := k.changeLinks(ctx, x); err != nil {
			return report, err
		}
	}
	v := view{config: x.is, host: x.host, absent: report.Absent}.withLinks(x.links)
	if !x.Networks.Empty() {
		links, err := k.links.look(ctx)
		if err != nil {
			return report, err
		}
		v = v.withLinks(links)
		if err := k.reroute(k.routed, v.routing(k.insideRule)); err != nil {
			return report, err
		}
	}
	part := v.part(x)
	moves, err := k.datapath.Change(part)
	if err != nil {
		return report, err
	}
	if err := k.move(moves); err != nil {
		return report, err
	}
	if x.isInside() {
		k.links.tellOf(append(k.settle(x.made, v, x.host.MTU), x.free...), x.gone)
	}
	report.Active = maps.Clone(report.Active)
	for _, id := range part.Gone.Mappings {
		delete(report.Active, id)
	}
	for id := range part.Mappings {
		report.Active[id] = true
	}
	return report, nil
}

// changeLinks takes links away and makes others.
func (k *Kernel) changeLinks(ctx context.Context, x *change) error {
	plan, err := k.planChange(ctx, x)
	if err != nil {
		return err
	}
	if err := k.remove(ctx, plan); err != nil {
		return err
	}
	if x.free, err = k.bareLinks(ctx, x.Endpoints.Removed); err != nil {
		return err
	}
	report := model.Report{Absent: make(map[string]error)}
	if x.made, err = k.build(ctx, plan, view{config: x.is}.withLinks(x.links), x.host.MTU, &report); err != nil {
		return err
	}
	if len(report.Absent) > 0 {
		return errNotPlain
	}
	x.links, err = k.links.find(ctx, x.names())
	return err
}

// planChange looks at the links that a change concerns and plans for them alone.
func (k *Kernel) planChange(ctx context.Context, x *change) (Plan, error) {
	if len(x.Endpoints.Removed) > 0 {
		links, err := k.links.look(ctx)
		if err != nil {
			return Plan{}, err
		}
		if err := k.leave(ctx, x.is, x.Endpoints.Removed, links); err != nil {
			return Plan{}, err
		}
	}
	before, err := k.links.find(ctx, x.removedNames())
	if err != nil {
		return Plan{}, err
	}
	if x.links, err = k.links.find(ctx, x.names()); err != nil {
		return Plan{}, err
	}
	if _, err := k.bareLinks(ctx, x.Endpoints.Added); err != nil {
		return Plan{}, err
	}
	for _, e := range x.Endpoints.Removed {
		k.forgetVerified(e.Name)
	}
	var attached []datapath.Attachment
	for _, l := range before {
		if a := (datapath.Attachment{Interface: uint32(l.Index), Hook: datapath.InsideIngress}); k.datapath.IsAttached(a) {
			attached = append(attached, a)
		}
	}
	plan := Make(config.Config{Networks: x.Networks.Added, Endpoints: x.Endpoints.Added}, before, attached, x.host.MTU)
	for _, l := range before {
		if slices.Contains(plan.Delete, l.Name) {
			x.gone = append(x.gone, l.Index)
		}
	}
	return plan, nil
}

// bareLinks are the links of endpoints that hostnat has not made. One that makes more of a
// difference outside than being there is refused.
func (k *Kernel) bareLinks(ctx context.Context, endpoints []model.Endpoint) ([]host.Link, error) {
	var names []string
	for _, e := range endpoints {
		if !e.OwnLink() {
			names = append(names, e.Interface)
		}
	}
	links, err := k.links.find(ctx, names)
	for _, l := range links {
		if l.MasterIndex != 0 || l.Loopback || len(l.Addresses) > 0 {
			return nil, errNotPlain
		}
	}
	return links, err
}

// removedNames are the links of what goes.
func (x *change) removedNames() (names []string) {
	for _, e := range x.Endpoints.Removed {
		names = append(names, linksOf(e)...)
	}
	for _, n := range x.Networks.Removed {
		names = append(names, n.Bridge)
	}
	return compact(names)
}

// names are the links of what comes, and the bridges of all that come or go.
func (x *change) names() (names []string) {
	for _, n := range x.Networks.Added {
		names = append(names, n.Bridge)
	}
	for _, e := range x.Endpoints.Added {
		names = append(names, linksOf(e)...)
	}
	for _, n := range x.networks() {
		names = append(names, n.Bridge)
	}
	return compact(names)
}

// networks are those that come, and those of endpoints that come or go.
func (x *change) networks() (list []model.Network) {
	concerned := make(map[string]bool)
	for _, n := range x.Networks.Added {
		concerned[n.Name] = true
	}
	for _, e := range slices.Concat(x.Endpoints.Added, x.Endpoints.Removed) {
		concerned[e.Network] = true
	}
	for _, n := range x.is.Networks {
		if concerned[n.Name] {
			list = append(list, n)
		}
	}
	return list
}

func compact(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
