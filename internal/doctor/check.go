package doctor

// check is one thing to look at. Its name is in each of its findings.
type check struct {
	name  string
	looks string // what it looks at, for people
	find  func(Facts) []Finding
}

// checks are all there are, in the order in which they are told: what stops
// everything first.
var checks = []check{
	kernelCheck, jitCheck, daemonCheck, stateCheck, endpointCheck, tapCheck,
	defaultRouteCheck, insideRouteCheck, routingRuleCheck, ipsecCheck, overlapCheck, mtuCheck, reversePathCheck,
	leftoverCheck, forwardFirewallCheck, inputFirewallCheck, legacyFirewallCheck, natRulesCheck,
	dhcpCheck, dnsPortCheck, resolverCheck, tablesCheck, addressesCheck, neighbourCheck, eventsCheck, conntrackCheck,
	forwardingCheck, unprivilegedCheck, unreadCheck,
}

// Run returns what all checks find.
func Run(f Facts) []Finding {
	all := []Finding{}
	for _, c := range checks {
		for _, found := range c.find(f) {
			found.Check, found.Fixable = c.name, found.fix != nil
			all = append(all, found)
		}
	}
	return all
}

// Faulty reports whether any finding is a fault that is still there.
func Faulty(findings []Finding) bool {
	for _, f := range findings {
		if f.Faulty() {
			return true
		}
	}
	return false
}
