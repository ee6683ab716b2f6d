package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// maxIPsecFindings is how many policies are told; a road warrior's gateway may have thousands.
const maxIPsecFindings = 10

var ipsecCheck = check{
	name: "ipsec", looks: "IPsec policies of the host (xfrm) that select what endpoints send outside",
	find: func(f Facts) (found []Finding) {
		for i, p := range f.Host.IPsec {
			if p.Passes || letBefore(f.Host.IPsec[:i], p) {
				continue
			}
			names := selected(f, p)
			if len(names) == 0 {
				continue
			}
			if len(found) == maxIPsecFindings {
				return append(found, Finding{Severity: Warning, What: "there are more such IPsec policies", Why: found[0].Why, Command: "ip xfrm policy"})
			}
			found = append(found, Finding{
				Severity: Warning,
				What:     fmt.Sprintf("an IPsec policy of the host (%s) drops what endpoints of %s send", policyText(p), strings.Join(names, ", ")),
				Why:      "it would leave in clear, since packets of endpoints do not pass the kernel's encryption: so it is dropped, and counted as ipsec",
				Command:  fmt.Sprintf("ip xfrm policy, and for what may leave in clear a policy before it: ip xfrm policy add dir %s src %s dst ADDRESSES action allow priority %d", direction(p), p.Source, max(p.Priority, 1)-1),
			})
		}
		return found
	},
}

// selected are the networks of whose packets the policy selects some, as they come
// or as they leave. What leaves has an address of the host's.
func selected(f Facts, p host.IPsecPolicy) (names []string) {
	outside := !p.Forwarded && slices.ContainsFunc(f.Host.Host.Addresses, func(a model.HostAddress) bool { return p.Source.Contains(a.Address) })
	for _, n := range f.Config.Networks {
		if n.HasNAT() && (outside || p.Source.Overlaps(n.Subnet4())) {
			names = append(names, n.Name)
		}
	}
	return names
}

// letBefore reports whether a policy before lets everything pass that this one
// selects.
func letBefore(before []host.IPsecPolicy, p host.IPsecPolicy) bool {
	return slices.ContainsFunc(before, func(b host.IPsecPolicy) bool {
		return b.Passes && b.Forwarded == p.Forwarded && within(p.Source, b.Source) && within(p.Destination, b.Destination) &&
			b.Protocol == 0 && b.Interface == 0 && b.SourcePort.Mask == 0 && b.DestinationPort.Mask == 0
	})
}

func within(part, of netip.Prefix) bool { return part.Bits() >= of.Bits() && of.Contains(part.Addr()) }

func direction(p host.IPsecPolicy) string {
	if p.Forwarded {
		return "fwd"
	}
	return "out"
}

func policyText(p host.IPsecPolicy) string {
	return fmt.Sprintf("src %s dst %s dir %s priority %d", p.Source, p.Destination, direction(p), p.Priority)
}
