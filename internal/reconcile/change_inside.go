package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// insideChange is a change of networks and endpoints on its way into the kernel.
type insideChange struct {
	config.Difference
	was   config.Config // in the kernel
	is    config.Config
	host  model.HostFacts
	gone  []host.Link // that are to be deleted
	links []host.Link // that were made or plugged in, and the bridges that endpoints' are in

	pulled  []host.Link // of others, as they were in a bridge
	plugged []host.Link // of others, as they were before
	free    []host.Link // of others, as they are after they were pulled out
}

// errNotPlain is for a change that turns out to concern more than it seemed.
var errNotPlain = errors.New("a link has more to it than an endpoint")

// changeInside is Change where networks or endpoints came or went: it makes and
// takes away those, and costs the same however many others there are. What it is
// not for, and what goes wrong, is for Apply.
func (k *Kernel) changeInside(ctx context.Context, c config.Config, diff config.Difference) (model.Report, error) {
	before := *k.made
	changed, deleted := diff.Mappings.Put(), diff.Mappings.Removed
	if !diff.OnlyInside() || !isPlain(before, c, diff) || slices.ContainsFunc(slices.Concat(changed, deleted), model.Mapping.IsOneToOne) {
		return k.Apply(ctx, c)
	}
	k.made = nil // until it is
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
	k.made = &made{config: c, report: report}
	return report, nil
}

// isPlain reports whether a change concerns nothing but endpoints' links and
// bridges that hostnat makes, and nothing that follows from all networks together.
func isPlain(before made, c config.Config, d config.Difference) bool {
	pointToPoint := make(map[string]bool)
	for _, n := range slices.Concat(d.Networks.Added, d.Networks.Removed) {
		pointToPoint[n.Name] = n.IsPointToPoint()
	}
	special := func(e model.Endpoint) bool {
		return before.report.Absent[e.Name] != nil || !e.InNamespace() && (pointToPoint[e.Network] || isExternal(c, e.Interface))
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
	if err := k.takeAway(ctx, x); err != nil {
		return err
	}
	if err := k.makeBridges(ctx, x); err != nil {
		return err
	}
	if err := k.attachNew(ctx, x); err != nil {
		return err
	}
	told, links := slices.Concat(x.gone, x.pulled, x.links), x.links
	if x.hasNetworks() {
		var err error
		if told, links, err = k.links.both(ctx); err != nil {
			return err
		}
	}
	if x.hasNetworks() {
		before, after := view{config: x.was, host: x.host}.withLinks(told), view{config: x.is, host: x.host}.withLinks(links)
		if err := k.reroute(before.routing(k.insideRule), after.routing(k.insideRule)); err != nil {
			return err
		}
	}
	was, is := x.parts(told, links)
	if err := k.datapath.ChangeInside(was, is); err != nil {
		return err
	}
	return k.expect(x)
}

func (x *insideChange) hasNetworks() bool { return !x.Networks.Empty() }

func (k *Kernel) takeAway(ctx context.Context, x *insideChange) (err error) {
	if len(x.Endpoints.Removed) > 0 {
		links, err := k.links.look(ctx)
		if err != nil {
			return err
		}
		if err := k.leave(ctx, x.is, x.Endpoints.Removed, links); err != nil {
			return err
		}
	}
	var ours, others []string
	for _, e := range x.Endpoints.Removed {
		k.forgetVerified(e.Name)
		if e.InNamespace() {
			ours = append(ours, e.Interface)
		} else {
			others = append(others, e.Interface)
		}
	}
	for _, n := range x.Networks.Removed {
		delete(k.bridges, n.Bridge)
		if !n.IsPointToPoint() { // whose link is its endpoint's
			ours = append(ours, n.Bridge)
		}
	}
	if x.gone, err = k.links.find(ctx, ours); err != nil {
		return err
	}
	if err := k.pull(ctx, x, others); err != nil {
		return err
	}
	for _, name := range ours {
		if err := host.DeleteLink(name); err != nil {
			return err
		}
	}
	return nil
}

// pull takes links of others out of their bridges.
func (k *Kernel) pull(ctx context.Context, x *insideChange, names []string) (err error) {
	if x.pulled, err = k.links.find(ctx, names); err != nil {
		return err
	}
	for _, l := range x.pulled {
		if err := k.release(PortRelease{Link: l.Name, Index: l.Index, Bridge: l.MasterIndex}); err != nil {
			return err
		}
	}
	if x.free, err = k.links.find(ctx, names); err != nil {
		return err
	}
	return allBare(x.free)
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

func (k *Kernel) makeBridges(ctx context.Context, x *insideChange) error {
	for _, n := range x.Networks.Added {
		if n.IsPointToPoint() {
			continue
		}
		index, err := host.EnsureBridge(ctx, bridgeOf(n, x.host.MTU))
		if err != nil {
			return err
		}
		if err := k.datapath.Attach(datapath.Attachment{Interface: uint32(index), Hook: datapath.BridgeIngress}); err != nil {
			return err
		}
	}
	return nil
}

// attachNew attaches the endpoints that came.
func (k *Kernel) attachNew(ctx context.Context, x *insideChange) (err error) {
	var names, others []string
	for _, n := range x.Networks.Added {
		names = append(names, n.Bridge)
	}
	for _, e := range x.Endpoints.Added {
		n, err := x.is.Network(e.Network)
		if err != nil {
			return err
		}
		names = append(names, n.Bridge, e.Interface)
		if !e.InNamespace() {
			others = append(others, e.Interface)
		}
	}
	if x.plugged, err = k.links.find(ctx, others); err != nil {
		return err
	}
	if err := allBare(x.plugged); err != nil {
		return err
	}
	for _, e := range x.Endpoints.Removed {
		if n, err := x.is.Network(e.Network); err == nil {
			names = append(names, n.Bridge)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if x.links, err = k.links.find(ctx, names); err != nil {
		return err
	}
	v := view{config: x.is}.withLinks(x.links)
	for _, e := range x.Endpoints.Added {
		if err := k.attach(ctx, v, e, x.host.MTU); err != nil {
			return fmt.Errorf("attaching endpoint %s: %w", e.Name, err)
		}
	}
	x.links, err = k.links.find(ctx, names)
	return err
}
