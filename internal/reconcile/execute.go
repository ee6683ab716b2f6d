package reconcile

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// The executor of plans. Apply's plan is about everything, and what there is was
// observed; Change's is about what a change concerns, and what there is was applied.

// remove takes away what nobody wants any more.
func (k *Kernel) remove(ctx context.Context, p Plan) error {
	return firstError(
		each(p.Release, k.release),
		each(p.Delete, k.deleteLink),
		each(p.Return, func(a Adoption) error { return host.ReleaseBridge(ctx, a.Name, a.Gateway) }),
		each(p.Restore, func(link string) error { return host.ReleasePointToPoint(ctx, link) }),
	)
}

func (k *Kernel) deleteLink(name string) error {
	delete(k.bridges, name)
	return host.DeleteLink(name)
}

// release gives a port back. Its program goes at once: it is what tells an
// endpoint's port from one that somebody else has plugged in.
func (k *Kernel) release(r PortRelease) error {
	if err := host.ReleasePort(r.Link, r.Bridge); err != nil {
		return err
	}
	return k.datapath.Detach(datapath.Attachment{Interface: uint32(r.Index), Hook: datapath.InsideIngress})
}

// build makes bridges and attaches endpoints. What cannot be, and is nobody's
// fault here, goes into the report.
func (k *Kernel) build(ctx context.Context, p Plan, v view, mtu int, report *model.Report) error {
	look := false // again, since there are new bridges
	for _, b := range p.Bridges {
		if k.isVerifiedBridge(v, b) {
			continue
		}
		index, err := host.EnsureBridge(ctx, b)
		if err != nil {
			return err
		}
		look = look || v.isNew(b.Name, index)
		if err := k.guardBridge(index); err != nil {
			return err
		}
	}
	for _, a := range p.Adopt {
		index, _, err := host.AdoptBridge(ctx, a.Name, a.Gateway, a.Unrouted)
		if model.CodeOf(err) == model.NotFound {
			report.Problems = append(report.Problems, err.Error())
			continue
		}
		if err != nil {
			return err
		}
		look = look || v.isNew(a.Name, index)
		if err := k.guardBridge(index); err != nil {
			return err
		}
	}
	if look {
		links, err := k.links.look(ctx)
		if err != nil {
			return err
		}
		v = v.withLinks(links)
	}
	return k.attachAll(ctx, p.Endpoints, v, mtu, report)
}

func (k *Kernel) guardBridge(index int) error {
	return each([]datapath.Attachment{
		{Interface: uint32(index), Hook: datapath.BridgeIngress},
		{Interface: uint32(index), Hook: datapath.BridgeEgress},
	}, k.datapath.Attach)()
}

// isNew reports whether a bridge was not there when the host was looked at.
func (v view) isNew(bridge string, index int) bool {
	l, there := v.link(bridge)
	return !there || l.Index != index
}

func (k *Kernel) attachAll(ctx context.Context, endpoints []model.Endpoint, v view, mtu int, report *model.Report) error {
	for _, e := range endpoints {
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

// reattach turns where programs are into where they belong.
func (k *Kernel) reattach(have, want []datapath.Attachment) error {
	return firstError(
		each(without(want, have), k.attachIfThere),
		each(without(have, want), k.datapath.Detach),
	)
}

// attachIfThere attaches a program, unless its link has gone since the host was
// looked at, as containers' do all the time: the next Apply, for which that is the
// reason, does without it.
func (k *Kernel) attachIfThere(a datapath.Attachment) error {
	if err := k.datapath.Attach(a); !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}

// attachments says which program belongs on which interface.
func attachments(c datapath.Config) []datapath.Attachment {
	var list []datapath.Attachment
	for index, i := range c.Insides {
		hook := datapath.InsideIngress
		switch {
		case i.PointToPoint:
			list = append(list, datapath.Attachment{Interface: index, Hook: datapath.PointToPointIngress})
		case i.Bridge:
			hook = datapath.BridgeIngress
			list = append(list, datapath.Attachment{Interface: index, Hook: datapath.BridgeEgress})
		case i.Port:
			hook = datapath.PortIngress
		}
		list = append(list, datapath.Attachment{Interface: index, Hook: hook})
	}
	if c.Reassembly != 0 {
		list = append(list, datapath.Attachment{Interface: c.Reassembly, Hook: datapath.ReassemblyEnter}, datapath.Attachment{Interface: c.Reassembly, Hook: datapath.ReassemblyLeave})
	}
	if len(c.Mappings) > 0 {
		list = append(list, datapath.Loopback)
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
