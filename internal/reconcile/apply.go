package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	report := nat.Report{Active: make(map[uint32]bool), Absent: make(map[string]error)}
	if err := k.build(ctx, plan, c, facts.MTU, &report); err != nil {
		return nat.Report{}, err
	}
	if links, err = host.Links(ctx); err != nil { // with what was just made
		return nat.Report{}, err
	}
	v := view{config: c, links: links, anchor: uint32(anchor), local: facts.LocalPorts}
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
	for _, e := range c.Endpoints {
		if err := k.attach(ctx, c, e, mtu); err != nil {
			if !absent(err) {
				return fmt.Errorf("attaching endpoint %s: %w", e.Name, err)
			}
			report.Absent[e.Name] = err
			report.Problems = append(report.Problems, fmt.Sprintf("endpoint %s is not attached: %v", e.Name, err))
		}
	}
	return nil
}

// absent reports whether an endpoint's own side is missing, which the rest of
// the configuration need not suffer from.
func absent(err error) bool {
	var refusal *nat.Error
	return errors.As(err, &refusal)
}

func (k *Kernel) attach(ctx context.Context, c nat.Config, e nat.Endpoint, mtu int) error {
	n, err := c.Network(e.Network)
	if err != nil {
		return err
	}
	links, err := host.Links(ctx)
	if err != nil {
		return err
	}
	bridge, ok := view{links: links}.link(n.Bridge)
	if !ok {
		return nat.Errorf(nat.NotFound, "bridge %s of network %s does not exist", n.Bridge, n.Name)
	}
	guard := func(index int) error {
		return k.datapath.Attach(datapath.Attachment{Interface: uint32(index), Hook: datapath.InsideIngress})
	}
	if !e.InNamespace() {
		index, err := host.EnsurePort(ctx, e.Target, bridge.Index)
		if err != nil {
			return err
		}
		return guard(index)
	}
	return k.attachNamespace(ctx, e, host.Veth{
		Name: e.Interface, Bridge: bridge.Index, IfName: e.IfName, MAC: e.MAC,
		Address: netip.PrefixFrom(e.Address, n.Subnet.Bits()), Gateway: n.Gateway, MTU: mtu, Guard: guard,
	}, slices.ContainsFunc(links, func(l host.Link) bool { return l.Name == e.Interface }))
}

func (k *Kernel) attachNamespace(ctx context.Context, e nat.Endpoint, v host.Veth, linked bool) error {
	if e.Kind == nat.KindPID && !linked && !k.named(e) {
		// After a reboot the number may be any other process's.
		return nat.Errorf(nat.NotFound, "its process %s is of an earlier run", e.Target).WithHint("attach it again with --pid")
	}
	ns, err := host.OpenNamespace(e.Kind, e.Target)
	if err != nil {
		return err
	}
	defer ns.Close()
	v.Namespace = ns
	_, err = host.EnsureVeth(ctx, v)
	return err
}

// named reports whether this daemon was given the endpoint's process.
func (k *Kernel) named(e nat.Endpoint) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen[e.Name] == e.Target
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
