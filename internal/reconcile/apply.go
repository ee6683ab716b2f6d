package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// Apply makes the kernel equal to c. It may be repeated at any time and be cut
// off anywhere: the next one goes on. Programs are attached before a link is
// brought up and told what to do afterwards, so that nothing slips past them.
func (k *Kernel) Apply(ctx context.Context, c config.Config) (model.Report, error) {
	k.applied = nil // until it is
	if err := k.keepPins(); err != nil {
		return model.Report{}, err
	}
	gone := goneEndpoints(k.lastConfig(), c)
	k.use(c)
	k.links.begin()
	links, err := k.links.reload(ctx)
	if err != nil {
		return model.Report{}, err
	}
	facts, err := k.links.hostFacts(ctx)
	if err != nil {
		return model.Report{}, err
	}
	attached, err := k.datapath.Attachments()
	if err != nil {
		return model.Report{}, err
	}
	plan := Make(c, links, attached, facts.MTU)
	if err := k.leave(ctx, c, gone, links); err != nil {
		return model.Report{}, err
	}
	if err := k.remove(ctx, plan); err != nil {
		return model.Report{}, err
	}
	anchor, err := host.AnchorLink()
	if err != nil {
		return model.Report{}, err
	}
	report := model.Report{Active: make(map[uint32]bool), Absent: make(map[string]error), Host: facts}
	reassembly := k.reassembly(ctx, &report)
	v := view{config: c, attached: setOf(attached)}.withLinks(links)
	if err := k.resize(v); err != nil {
		report.Problems = append(report.Problems, "bulk transfers are slower than they could be: "+err.Error())
	}
	made, err := k.build(ctx, plan, v, facts.MTU, &report)
	if err != nil {
		return model.Report{}, err
	}
	k.place(ctx, MakeExternals(c, links, facts.DefaultInterface), &report)
	if links, err = k.links.look(ctx); err != nil { // with what was just made
		return model.Report{}, err
	}
	if err := isolate(c, links); err != nil {
		return model.Report{}, err
	}
	report.Problems = append(report.Problems, bridgesDown(c, links)...)
	k.links.tell(links)
	v = view{config: c, anchor: uint32(anchor), reassembly: uint32(reassembly), local: facts.LocalPorts, host: facts, absent: report.Absent}.withLinks(links)
	if err := k.routeAndTranslate(ctx, v, &report); err != nil {
		return model.Report{}, err
	}
	k.settle(made, v, facts.MTU)
	k.applied = &applied{config: c, report: report}
	return report, nil
}

// routeAndTranslate tells the host's routing tables and the data path of all that
// there is now.
func (k *Kernel) routeAndTranslate(ctx context.Context, v view, report *model.Report) (err error) {
	if v.routes, err = host.RouteMTUs(ctx); err != nil {
		return err
	}
	if v.ipsec, err = host.IPsecPolicies(ctx); err != nil {
		return err
	}
	if err := k.route(ctx, v); err != nil {
		return err
	}
	return k.applyDatapath(v, report)
}

// bridgesDown says which adopted bridges are down: to set them up is their owner's
// business.
func bridgesDown(c config.Config, links []host.Link) (problems []string) {
	adopted := make(map[string]string) // networks by bridge
	for _, n := range c.Networks {
		if n.Adopted {
			adopted[n.Bridge] = n.Name
		}
	}
	for _, l := range links {
		if network, is := adopted[l.Name]; is && !l.Up {
			problems = append(problems, fmt.Sprintf("bridge %s of network %s is down: nothing gets through; 'ip link set %s up' fixes it", l.Name, network, l.Name))
		}
	}
	return problems
}

// use has what is read from the kernel, and about it, go by a configuration.
func (k *Kernel) use(c config.Config) {
	k.mu.Lock()
	k.config = c.Clone()
	k.names = namesOf(c)
	k.mu.Unlock()
	k.links.use(bridgesOf(c), namedBy(c))
}

// bridgesOf are the links that the networks' gateways are on.
func bridgesOf(c config.Config) map[string]bool {
	bridges := make(map[string]bool, len(c.Networks))
	for _, n := range c.Networks {
		bridges[n.Bridge] = true
	}
	return bridges
}

// namedBy are links that the configuration names, beside bridges.
func namedBy(c config.Config) map[string]bool {
	names := make(map[string]bool)
	for _, n := range c.NATs {
		for _, link := range n.ExternalInterfaces {
			names[link] = true
		}
	}
	for _, e := range c.Endpoints {
		names[e.Interface] = true
		if e.Kind == model.KindPair || !e.InNamespace() {
			names[e.Target] = true
		}
	}
	return names
}

// transparentLinks are those on which endpoints answer to clients whose
// connection ends at the host.
func transparentLinks(c config.Config) (links []string) {
	for _, n := range c.TransparentNetworks() {
		links = append(links, n.Bridge)
	}
	return links
}

// reassembly makes the namespace for fragments, and returns 0 if the kernel has none:
// everything else works without.
func (k *Kernel) reassembly(ctx context.Context, report *model.Report) int {
	index, err := host.EnsureReassembly(ctx, k.datapath.HasReassembly(), k.datapath.KeepReassembly)
	if err != nil {
		report.Problems = append(report.Problems, "fragments that come out of order are dropped: "+err.Error())
		return 0
	}
	return index
}

// applyDatapath attaches the outside programs, tells the data path everything, and
// takes off what is not wanted.
func (k *Kernel) applyDatapath(v view, report *model.Report) error {
	c := v.datapathConfig()
	// Told first, then attached: an interface without configuration is let pass.
	moves, err := k.datapath.Apply(c)
	if err != nil {
		return err
	}
	if want := c.Attachments(); k.lookAgain(len(want)) { // somebody may have detached what is pinned
		if err := each(want, k.attachIfThere)(); err != nil {
			return err
		}
	}
	if err := k.move(moves); err != nil {
		return err
	}
	k.settlePorts(v.config.Networks, c, moves.Attach)
	for _, m := range v.config.Mappings {
		report.Active[m.ID] = v.isServed(c, m)
	}
	report.Problems = append(report.Problems, v.outsideProblems()...)
	report.Problems = append(report.Problems, v.oneToOneProblems()...)
	report.Problems = append(report.Problems, v.routeProblems()...)
	if !hasAddress(c.Pools) && slices.ContainsFunc(v.config.Networks, model.Network.HasNAT) {
		report.Problems = append(report.Problems, "no NAT has an external address: no outside interface has an IPv4 address")
	}
	return nil
}

func setOf[T comparable](list []T) map[T]bool {
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}
