package doctor

import (
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/internal/host"
)

var routingRuleCheck = check{
	name: "routing-rule", looks: "routing rules that stand before the host's way to the networks",
	find: func(f Facts) (found []Finding) {
		var subnets []netip.Prefix
		for _, n := range f.Config.Networks {
			if !n.Unrouted() {
				subnets = append(subnets, n.Subnet4())
			}
		}
		if len(subnets) == 0 {
			return nil
		}
		for _, r := range f.Host.Rules {
			if own, is := r.Own(); is && own.Table == host.InsideTable {
				return found
			}
			if r.Captures(subnets) {
				found = append(found, Finding{
					Severity: Problem, What: fmt.Sprintf("routing rule %q stands before hostnat's", r),
					Why:     "what the host sends to endpoints may go another way: published ports from the host itself, answers of its programs, pings of the gateway",
					Command: fmt.Sprintf("ip rule del priority %d lookup %d, and add it with a priority of 51 or more", r.Priority, r.Table),
				})
			}
		}
		return nil // there is no rule of hostnat's: the daemon's problem
	},
}
