package reconcile

import (
	"cmp"
	"context"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// absent reports whether an endpoint's own side is missing, which the rest of
// the configuration need not suffer from.
func absent(err error) bool {
	var refusal *model.Error
	return errors.As(err, &refusal)
}

// attach connects one endpoint; v has the bridges. What is right already is
// left alone: then done is false.
func (k *Kernel) attach(ctx context.Context, v view, e model.Endpoint, mtu int) (done bool, err error) {
	n, err := v.config.Network(e.Network)
	if err != nil {
		return false, err
	}
	bridge, ok := v.link(n.Bridge)
	if n.IsPointToPoint() {
		bridge = host.Link{} // it has none
	} else if !ok {
		return false, model.Errorf(model.NotFound, "bridge %s of network %s does not exist", n.Bridge, n.Name)
	}
	link, linked := v.link(e.Interface)
	if linked && v.isGuarded(link, n) && k.isVerified(e, shapeOf(e, n, bridge, link, mtu, k.segments.of(n)), link) {
		return false, nil
	}
	if n.IsPointToPoint() {
		err = k.makePointToPoint(ctx, v, n, e, mtu)
	} else {
		err = k.attachTo(ctx, v, n, bridge, e, mtu)
	}
	if err != nil {
		k.forgetVerified(e.Name)
		return false, goneIfGone(err)
	}
	if linked || n.IsPointToPoint() {
		return true, nil
	}
	return true, k.attachCompanions(ctx, v.config, e, mtu)
}

func (k *Kernel) attachTo(ctx context.Context, v view, n model.Network, bridge host.Link, e model.Endpoint, mtu int) error {
	protect := k.guard
	if link, ok := v.link(e.Interface); n.Isolation == model.IsolatedEndpoints && (!ok || link.MasterIndex != bridge.Index) {
		protect = k.guardNew // of others, isolate takes care
	}
	guard := func(port int) error { return cmp.Or(protect(port), host.PinMAC(port, e.MAC)) }
	if e.Kind == model.KindPair {
		pair := k.pairOf(n, e, mtu)
		pair.Bridge, pair.Guard = bridge.Index, guard
		return host.EnsurePair(ctx, pair)
	}
	if !e.InNamespace() {
		if err := ensureTAP(n, e, mtu); err != nil {
			return err
		}
		if link, ok := v.link(e.Target); ok && !e.TAP.Made && link.MasterIndex == bridge.Index && !k.isGuarded(link.Index) {
			if err := host.NotePlugged(link.Index); err != nil {
				return err
			}
		}
		index, err := host.EnsurePort(ctx, e.Target, bridge.Index)
		if err != nil {
			return err
		}
		return guard(index)
	}
	ns, err := k.openNamespace(v, e)
	if err != nil || ns == nil {
		return err
	}
	defer ns.Close()
	var pinned model.MAC
	if !n.Adopted { // that bridge may get another
		pinned = n.GatewayMAC()
	}
	veth := vethOf(n, e, ns, mtu)
	veth.Bridge, veth.GatewayMAC, veth.Segment, veth.Guard = bridge.Index, pinned, k.segments.of(n), guard
	_, err = host.EnsureVeth(ctx, veth)
	return err
}

// vethOf is what follows from the endpoint and its network alone.
func vethOf(n model.Network, e model.Endpoint, ns *host.Namespace, mtu int) host.Veth {
	v := host.Veth{
		Name: e.Interface, Namespace: ns, IfName: e.IfName, MAC: e.MAC, MTU: n.LinkMTU(mtu),
		Address: netip.PrefixFrom(e.Address4(), n.Subnet4().Bits()), Allow: e.Further(), Gateway: n.Gateway4(),
	}
	if e.TAP.Made {
		v.Inside(tapOf(n, e, mtu))
	}
	return v
}

func tapOf(n model.Network, e model.Endpoint, mtu int) host.TAP {
	return host.TAP{TAP: e.TAP, Name: cmp.Or(e.IfName, e.Target), MTU: n.LinkMTU(mtu)}
}

// ensureTAP makes the TAP of an endpoint on the host, if hostnat is to.
func ensureTAP(n model.Network, e model.Endpoint, mtu int) error {
	if !e.TAP.Made {
		return nil
	}
	return host.EnsureTAP(tapOf(n, e, mtu))
}

// guard attaches the program that every packet of an endpoint passes first, and the one
// that keeps from it what was not checked at another port.
func (k *Kernel) guard(index int) error {
	return each([]datapath.Attachment{
		{Interface: uint32(index), Hook: datapath.InsideIngress},
		{Interface: uint32(index), Hook: datapath.PortEgress},
	}, k.datapath.Attach)()
}

// isGuarded reports whether a link is an endpoint's already.
func (k *Kernel) isGuarded(index int) bool {
	return k.datapath.IsAttached(datapath.Attachment{Interface: uint32(index), Hook: datapath.InsideIngress})
}

// goneIfGone makes the endpoint absent whose link went while it was attached.
func goneIfGone(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return model.Errorf(model.NotFound, "its link was deleted meanwhile")
	}
	return err
}

// guardNew is guard for a new port of a network that keeps its endpoints apart.
func (k *Kernel) guardNew(index int) error {
	return errors.Join(k.guard(index), host.IsolatePort(index, true))
}

// openNamespace opens the endpoint's namespace. It returns nil if that cannot
// be reached by its name any more, but its link is there and works.
func (k *Kernel) openNamespace(v view, e model.Endpoint) (*host.Namespace, error) {
	link, linked := v.link(e.Interface)
	if e.Kind == model.KindPID && !linked && !k.isNamed(e) {
		// After a reboot the number may be any other process's.
		return nil, model.Errorf(model.NotFound, "its process %s is of an earlier run", e.Target).WithHint("attach it again with --pid")
	}
	ns, err := host.OpenNamespace(e.Kind, e.Target)
	if err == nil && e.Kind == model.KindPID {
		ns, err = k.sameProcess(e, ns, link)
	}
	if model.CodeOf(err) != model.NotFound {
		return ns, err
	}
	k.forget(e)
	if linked {
		return nil, k.guard(link.Index)
	}
	return nil, err
}

// sameProcess makes sure that a process is the one that the endpoint was attached
// to, whose number may have become another one's: it is the one that a caller named
// since the daemon started, or the endpoint's link leads into its namespace.
func (k *Kernel) sameProcess(e model.Endpoint, ns *host.Namespace, link host.Link) (*host.Namespace, error) {
	is, err := ns.Identity()
	if err == nil && (k.named(e, is) || link.Index != 0 && link.Owned() && ns.Has(link)) {
		k.name(e, is)
		return ns, nil
	}
	ns.Close()
	if err != nil {
		return nil, err
	}
	return nil, model.Errorf(model.NotFound, "its process %s has ended: that number may be another one's now", e.Target).WithHint("attach it again with --pid")
}

// process is who a caller has named for an endpoint.
type process struct {
	target string
	is     host.Identity
}

// named reports whether this daemon was given that process for the endpoint.
func (k *Kernel) named(e model.Endpoint, is host.Identity) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen[e.Name] == process{e.Target, is}
}

// isNamed reports whether this daemon was given any process for the endpoint.
func (k *Kernel) isNamed(e model.Endpoint) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen[e.Name].target == e.Target
}

func (k *Kernel) name(e model.Endpoint, is host.Identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen[e.Name] = process{e.Target, is}
}

// forget makes sure that a process id which is used again is not taken for the
// endpoint's.
func (k *Kernel) forget(e model.Endpoint) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.seen, e.Name)
}
