package warning

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// endpointWarnings are about further addresses that take away what the host needs.
func (w *Warner) endpointWarnings(e model.Endpoint) (texts []string) {
	n, err := w.config.Network(e.Network)
	if err != nil || n.Unrouted() {
		return nil
	}
	for _, m := range w.host.Needed() {
		if p, allowed := e.Allowed(m.Address); allowed && !n.Holds(p) {
			texts = append(texts, fmt.Sprintf("endpoint %s: %s, which it is allowed, holds %s, %s: what is for that goes to the endpoint", e.Name, p, m.Address, m.Source))
		}
	}
	return texts
}

// reservationWarnings are about addresses that nobody is given.
func (w *Warner) reservationWarnings(r model.Reservation) []string {
	n, err := w.config.Network(r.Network)
	if err != nil || n.DHCP.On() || r.MAC == "" { // a name may be that of an endpoint, which needs no DHCP
		return nil
	}
	return []string{fmt.Sprintf("%s of network %s is kept for MAC %s, but dhcp is off there: nobody gives it out", r.Address, r.Network, r.MAC)}
}

// mappingWarnings are about mappings that lead nowhere, or that nobody can ask for.
func (w *Warner) mappingWarnings(m model.Mapping) (texts []string) {
	warn := func(format string, args ...any) {
		texts = append(texts, fmt.Sprintf("mapping %s ", m)+fmt.Sprintf(format, args...))
	}
	var gone []string
	for _, t := range m.Targets {
		if why := w.nobodyAt(t); why != "" {
			gone = append(gone, why)
		}
	}
	switch {
	case len(gone) == 0:
	case len(gone) == len(m.Targets):
		warn("leads nowhere: %s", model.Join(gone, func(s string) string { return s }))
	default:
		warn("leads in part nowhere: %s", model.Join(gone, func(s string) string { return s }))
	}
	if a := m.External.Address; !a.IsUnspecified() && !w.hostHas(a) && len(w.host.Addresses) > 0 {
		warn("is at %s, which no interface of the host has", a)
	}
	return texts
}

// nobodyAt says why nothing answers at a mapping's target; empty: something may.
func (w *Warner) nobodyAt(t model.Target) string {
	switch {
	case !t.Resolved():
		return fmt.Sprintf("endpoint %q is not attached", t.Endpoint)
	case t.Endpoint != "" && t.MAC == "" && w.absent[t.Endpoint] != nil:
		return fmt.Sprintf("endpoint %q is absent", t.Endpoint)
	case t.Endpoint == "" && !w.isThere(t.Network, t.Internal.Address):
		return fmt.Sprintf("nobody is known at %s of network %s", t.Internal.Address, t.Network)
	}
	return ""
}

// hostHas reports whether an address is one that packets for the host go to: its own,
// a gateway's, or a loopback one.
func (w *Warner) hostHas(a netip.Addr) bool {
	return a.IsLoopback() || w.host.InterfaceOf(a) != "" ||
		slices.ContainsFunc(w.host.Held(), func(h model.HostAddress) bool { return h.Address == a }) ||
		slices.ContainsFunc(w.config.Networks, func(n model.Network) bool { return n.Gateway4() == a })
}

// proxyWarnings are about targets on our networks at which nobody is. Names that lead nowhere are
// problems, which the proxies find.
func (w *Warner) proxyWarnings(p model.Proxy) (texts []string) {
	for _, t := range p.Targets() {
		if why := w.nobodyBehind(t); why != "" {
			texts = append(texts, fmt.Sprintf("port proxy %s: %s leads nowhere: %s", p, t, why))
		}
	}
	return texts
}

func (w *Warner) nobodyBehind(t model.HostPorts) string {
	a := t.Address()
	if !a.IsValid() {
		if e, ok := w.config.Attached(t.Host); ok && w.absent[e.Name] != nil {
			return fmt.Sprintf("endpoint %q is absent", e.Name)
		}
		return ""
	}
	for _, n := range w.config.Networks {
		if !n.Unrouted() && n.Subnet4().Contains(a) && a != n.Gateway4() && !w.isThere(n.Name, a) {
			return fmt.Sprintf("nobody is known at %s of network %s", a, n.Name)
		}
	}
	return ""
}
