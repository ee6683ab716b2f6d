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

// build makes bridges and attaches endpoints, and returns those for which it had to
// do something. What cannot be, and is nobody's fault here, goes into the report.
func (k *Kernel) build(ctx context.Context, p Plan, v view, mtu int, report *model.Report) (made Plan, err error) {
	look := false // again, since there are new bridges
	for _, b := range p.Bridges {
		if k.isVerifiedBridge(v, b) {
			continue
		}
		index, err := host.EnsureBridge(ctx, b)
		if err != nil {
			return made, err
		}
		made.Bridges = append(made.Bridges, b)
		look = look || v.isNew(b.Name, index)
		if err := k.guardBridge(index); err != nil {
			return made, err
		}
	}
	for _, a := range p.Adopt {
		index, _, err := host.AdoptBridge(ctx, a.Name, a.Gateway, a.Unrouted)
		if model.CodeOf(err) == model.NotFound {
			report.Problems = append(report.Problems, err.Error())
			continue
		}
		if err != nil {
			return made, err
		}
		look = look || v.isNew(a.Name, index)
		if err := k.guardBridge(index); err != nil {
			return made, err
		}
	}
	if look {
		links, err := k.links.look(ctx)
		if err != nil {
			return made, err
		}
		v = v.withLinks(links)
	}
	made.Endpoints, err = k.attachAll(ctx, p.Endpoints, v, mtu, report)
	return made, err
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

func (k *Kernel) attachAll(ctx context.Context, endpoints []model.Endpoint, v view, mtu int, report *model.Report) (made []model.Endpoint, err error) {
	for _, e := range endpoints {
		done, err := k.attach(ctx, v, e, mtu)
		switch {
		case err == nil && done:
			made = append(made, e)
		case err == nil:
		case !absent(err):
			return made, fmt.Errorf("attaching endpoint %s: %w", e.Name, err)
		default:
			report.Absent[e.Name] = err
			report.Problems = append(report.Problems, fmt.Sprintf("endpoint %s is not attached: %v", e.Name, err))
		}
	}
	return made, nil
}

// move has programs where they belong.
func (k *Kernel) move(m datapath.Moves) error {
	return firstError(each(m.Attach, k.attachIfThere), each(m.Detach, k.datapath.Detach))
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
