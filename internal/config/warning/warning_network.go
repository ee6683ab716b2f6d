package warning

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/hostnat/hostnat/internal/model"
)

// networkWarnings are about a network's subnet and its settings.
func (w *Warner) networkWarnings(n model.Network) (texts []string) {
	warn := func(format string, args ...any) {
		texts = append(texts, fmt.Sprintf("network %s: ", n.Name)+fmt.Sprintf(format, args...))
	}
	for _, m := range w.needed(n) {
		warn("its subnet %s holds %s, %s: host and endpoints cannot reach it; choose another subnet (hostnat network renumber %s)", n.Subnet4(), m.Address, m.Source, n.Name)
	}
	if p := n.Subnet4(); n.HasNAT() && !model.IsPrivate(p) {
		warn("its subnet %s is public: the machines that have these addresses on the internet cannot be reached; use a private one", p)
	}
	if public(n.DomainName()) && n.DNS.On() {
		warn("its domain %q is a public one: its endpoints find no other name below it; use one of your own, such as lab.%s", n.DomainName(), model.PrivateDomain)
	}
	w.dhcpWarnings(n, warn)
	return texts
}

// needed are the machines that the host needs and a network's subnet takes away. One that
// is on the network itself is no loss.
func (w *Warner) needed(n model.Network) (list []model.HostMachine) {
	if n.Unrouted() { // the host goes on reaching all but the gateway, which checkGateway is about
		return nil
	}
	for _, m := range w.host.Needed() {
		here := w.isThere(n.Name, m.Address) || n.Adopted && strings.HasSuffix(m.Source, " via "+n.Bridge)
		if n.Subnet4().Contains(m.Address) && !here {
			list = append(list, m)
		}
	}
	return list
}

// public reports whether everybody may have a name below the domain: "com", "co.uk",
// "github.io". A single label that nobody has registered is not.
func public(domain string) bool {
	suffix, official := publicsuffix.PublicSuffix(domain)
	return suffix == domain && (official || strings.Contains(domain, "."))
}

// minLeaseTime is below what any client needs: each asks twice in that time.
const minLeaseTime model.Seconds = 60

// dhcpWarnings are about what DHCP clients are told.
func (w *Warner) dhcpWarnings(n model.Network, warn func(format string, args ...any)) {
	if !n.DHCP.On() {
		if told := dhcpSettings(n); len(told) > 0 {
			warn("dhcp is off, and nobody is told its %s", strings.Join(told, ", "))
		}
		return
	}
	if !hasDynamic(n) {
		warn("no address is left for DHCP clients: range (%s), exclude (%s) and the gateway leave none", rangesText(n.Dynamic()), rangesText(n.Exclude))
	}
	if t := n.LeaseDuration(); t < minLeaseTime {
		warn("with a lease-time of %ds each DHCP client asks every %ds", t, max(t/2, 1))
	}
	for _, a := range n.NTP {
		if why := w.unreachable(n, a); why != "" {
			warn("clients do not reach the time server %s (ntp): %s", a, why)
		}
	}
	if a := n.PXE.NextServer; a.IsValid() {
		if why := w.unreachable(n, a); why != "" {
			warn("clients do not reach the boot server %s (pxe-next-server): %s", a, why)
		}
	}
	if n.PXE.BootFile == "" && n.PXE != (model.PXE{}) {
		warn("machines that boot from the network are told a server, but no file; set pxe-boot-file")
	}
	for _, r := range n.Routes {
		if n.Holds(r.Prefix) {
			warn("the route %s is for a part of the network itself, whose machines reach each other without", r)
		}
	}
}

// dhcpSettings are the settings of a network that nothing but DHCP tells.
func dhcpSettings(n model.Network) (keys []string) {
	for _, s := range []struct {
		key string
		set bool
	}{
		{"range", len(n.Ranges) > 0}, {"ntp", len(n.NTP) > 0}, {"routes", len(n.Routes) > 0},
		{"pxe", n.PXE != (model.PXE{})},
	} {
		if s.set {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// hasDynamic reports whether the settings leave an address for clients that nobody
// knows.
func hasDynamic(n model.Network) bool {
	left := n.Dynamic()
	for _, out := range append([]model.AddressRange{{Low: n.Gateway4(), High: n.Gateway4()}}, n.Exclude...) {
		var rest []model.AddressRange
		for _, r := range left {
			rest = append(rest, r.Without(out)...)
		}
		left = rest
	}
	return len(left) > 0
}

// unreachable says why a network's endpoints never reach an address; empty: they may.
func (w *Warner) unreachable(n model.Network, a netip.Addr) string {
	switch nat, err := w.config.NAT(n.NAT); {
	case n.Subnet4().Contains(a):
		return ""
	case !n.HasNAT():
		return "the network is behind no NAT"
	case err == nil && a.IsLinkLocalUnicast() && !nat.LinkLocal:
		return fmt.Sprintf("it is link-local; 'hostnat nat set %s link-local=allow' lets them", nat.Name)
	}
	return ""
}

func rangesText(list []model.AddressRange) string {
	if len(list) == 0 {
		return "none"
	}
	return model.Join(list, model.AddressRange.String)
}
