package reconcile

import (
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// pairOf is the veth pair of an endpoint whose other end a container engine takes, and
// gives its address itself.
func (k *Kernel) pairOf(n model.Network, e model.Endpoint, mtu int) host.Veth {
	return host.Veth{Name: e.Interface, IfName: e.Target, MAC: e.MAC, MTU: n.LinkMTU(mtu), Segment: k.segments.of(n)}
}

// linksOf are an endpoint's links on the host.
func linksOf(e model.Endpoint) []string {
	if e.Kind == model.KindPair {
		return []string{e.Interface, e.Target}
	}
	return []string{e.Interface}
}
