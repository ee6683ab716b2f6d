package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// Locate says where names lead and which addresses are the host's own, to find
// proxies that lead to themselves.
type Locate struct {
	Resolve func(host string) []netip.Addr // nil for a name that is not known
	Local   func(netip.Addr) bool          // loopback counts without asking
}

// ProxyLoop returns a refusal if what proxy p relays may come back to p,
// directly or by way of others: it would fill itself with connections.
func ProxyLoop(p model.Proxy, others []model.Proxy, at Locate) error {
	path := at.findLoop([]model.Proxy{p}, others)
	if path == nil {
		return nil
	}
	if len(path) == 1 {
		return model.Errorf(model.Conflict, "the proxy on %s %s would connect to itself", p.Protocol, p.Listen).WithHint("give another target")
	}
	via := make([]string, len(path)-1)
	for i, q := range path[1:] {
		via[i] = fmt.Sprintf("proxy %d", q.ID)
	}
	return model.Errorf(model.Conflict, "the proxy on %s %s would connect to itself by way of %s", p.Protocol, p.Listen, strings.Join(via, ", ")).
		WithHint("give another target")
}

// findLoop goes on from the path's last proxy and returns the path that ends
// where it began.
func (at Locate) findLoop(path, others []model.Proxy) []model.Proxy {
	last := path[len(path)-1]
	if at.leads(last, path[0]) {
		return path
	}
	for _, q := range others {
		if slices.ContainsFunc(path, func(on model.Proxy) bool { return on.ID == q.ID }) || !at.leads(last, q) {
			continue
		}
		if loop := at.findLoop(append(slices.Clip(path), q), others); loop != nil {
			return loop
		}
	}
	return nil
}

// leads reports whether one of from's targets is a port that to listens on.
func (at Locate) leads(from, to model.Proxy) bool {
	if from.Protocol != to.Protocol {
		return false
	}
	return slices.ContainsFunc(from.Targets(), func(target model.HostPorts) bool {
		return target.Ports.Overlaps(to.Listen.Ports) && slices.ContainsFunc(at.addresses(target), func(a netip.Addr) bool {
			return at.Answers(to, a)
		})
	})
}

func (at Locate) addresses(h model.HostPorts) []netip.Addr {
	if a := h.Address(); a.IsValid() {
		return []netip.Addr{a}
	}
	return at.Resolve(h.Host)
}

// Answers reports whether the proxy answers at the host's address a.
func (at Locate) Answers(p model.Proxy, a netip.Addr) bool {
	a = a.Unmap()
	if a.Is4() && !p.ListensOn4() || a.Is6() && !p.ListensOn6() {
		return false
	}
	if p.Listen.Host == model.AnyHost || p.Listen.Address().IsUnspecified() {
		return a.IsLoopback() || at.Local(a)
	}
	return slices.Contains(at.addresses(p.Listen), a)
}
