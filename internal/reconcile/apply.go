package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/nat"
)

// Apply makes the kernel equal to c. It may be repeated at any time and be cut
// off anywhere: the next one goes on. Programs are attached before a link is
// brought up and told what to do afterwards, so that nothing slips past them.
func (k *Kernel) Apply(ctx context.Context, c nat.Config) (nat.Report, error) {
	k.mu.Lock()
	k.config = c.Clone()
	k.names = namesOf(c)
	k.mu.Unlock()

	facts, err := k.Facts(ctx)
	if err != nil {
		return nat.Report{}, err
	}
	links, err := host.Links(ctx)
	if err != nil {
		return nat.Report{}, err
	}
	attached, err := k.datapath.Attachments()
	if err != nil {
		return nat.Report{}, err
	}
	plan := Make(c, links, attached, facts.MTU)
	if err := k.remove(ctx, plan); err != nil {
		return nat.Report{}, err
	}
	anchor, err := host.AnchorLink()
	if err != nil {
		return nat.Report{}, err
	}
	report := nat.Report{Problems: slices.Clone(k.problems), Active: make(map[uint32]bool), Absent: make(map[string]error)}
	if err := k.build(ctx, plan, c, facts.MTU, &report); err != nil {
		return nat.Report{}, err
	}
	if links, err = host.Links(ctx); err != nil { // with what was just made
		return nat.Report{}, err
	}
	cookie, err := host.NetnsCookie()
	if err != nil {
		return nat.Report{}, err
	}
	v := view{config: c, links: links, anchor: uint32(anchor), cookie: cookie, local: facts.LocalPorts}
	if err := k.steer(v, &report); err != nil {
		return nat.Report{}, err
	}
	return report, nil
}

// remove takes away what nobody wants any more.
func (k *Kernel) remove(ctx context.Context, p Plan) error {
	for _, r := range p.Release {
		if err := host.ReleasePort(r.Link, r.Bridge); err != nil {
			return err
		}
	}
	for _, name := range p.Delete {
		if err := host.DeleteLink(name); err != nil {
			return err
		}
	}
	for _, a := range p.Return {
		if err := host.ReleaseBridge(ctx, a.Name, a.Gateway); err != nil {
			return err
		}
	}
	return nil
}

// build makes bridges and attaches endpoints.
func (k *Kernel) build(ctx context.Context, p Plan, c nat.Config, mtu int, report *nat.Report) error {
	for _, b := range p.Bridges {
		index, err := host.EnsureBridge(ctx, b)
		if err != nil {
			return err
		}
		if err := k.datapath.Attach(datapath.Attachment{Interface: uint32(index), Hook: datapath.BridgeIngress}); err != nil {
			return err
		}
	}
	for _, a := range p.Adopt {
		index, _, err := host.AdoptBridge(ctx, a.Name, a.Gateway)
		if nat.CodeOf(err) == nat.NotFound {
			report.Problems = append(report.Problems, err.Error())
			continue
		}
		if err != nil {
			return err
		}
		if err := k.datapath.Attach(datapath.Attachment{Interface: uint32(index), Hook: datapath.BridgeIngress}); err != nil {
			return err
		}
	}
	links, err := host.Links(ctx) // with the bridges
	if err != nil {
		return err
	}
	v := view{config: c, links: links}
	for _, e := range c.Endpoints {
		err := k.attach(ctx, v, e, mtu)
		if err == nil {
			continue
		}
		if !absent(err) {
			return fmt.Errorf("attaching endpoint %s: %w", e.Name, err)
		}
		report.Absent[e.Name] = err
		report.Problems = append(report.Problems, fmt.Sprintf("endpoint %s is not attached: %v", e.Name, err))
	}
	return nil
}

// steer attaches the outside programs, tells the data path everything, and
// takes off what is not wanted.
func (k *Kernel) steer(v view, report *nat.Report) error {
	c := v.datapathConfig()
	want := attachments(c)
	// Told first, then attached: an interface without configuration is let pass.
	if err := k.datapath.Apply(c); err != nil {
		return err
	}
	for _, a := range want {
		if err := k.datapath.Attach(a); err != nil {
			return err
		}
	}
	have, err := k.datapath.Attachments()
	if err != nil {
		return err
	}
	for _, a := range have {
		if !slices.Contains(want, a) {
			if err := k.datapath.Detach(a); err != nil {
				return err
			}
		}
	}
	for id := range c.Mappings {
		report.Active[id] = true
	}
	if len(c.Pools) == 0 && len(v.config.Networks) > 0 {
		report.Problems = append(report.Problems, "no NAT has an external address: no outside interface has an IPv4 address")
	}
	return nil
}

// attachments says which program belongs on which interface.
func attachments(c datapath.Config) []datapath.Attachment {
	var list []datapath.Attachment
	for index, i := range c.Insides {
		hook := datapath.InsideIngress
		if i.Bridge {
			hook = datapath.BridgeIngress
		}
		list = append(list, datapath.Attachment{Interface: index, Hook: hook})
	}
	for index, o := range c.Outsides {
		in, out := datapath.OutsideIngress, datapath.OutsideEgress
		if o.NoEthernet {
			in, out = datapath.OutsideIngressL3, datapath.OutsideEgressL3
		}
		list = append(list, datapath.Attachment{Interface: index, Hook: in}, datapath.Attachment{Interface: index, Hook: out})
	}
	return list
}
