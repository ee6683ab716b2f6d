package dns

import (
	"fmt"

	"github.com/miekg/dns"
)

// special are domains that must not be asked for outside: whoever is there
// cannot know, and must not learn that they were asked for.
var special = specialDomains()

func specialDomains() map[string]bool {
	list := []string{
		"internal.",      // private use (ICANN resolution 2024.07.29.06)
		"localhost.",     // RFC 6761 section 6.3
		"invalid.",       // RFC 6761 section 6.4
		"test.",          // RFC 6761 section 6.2
		"local.",         // multicast DNS, RFC 6762 section 22.1
		"onion.",         // RFC 7686 section 2
		"home.arpa.",     // RFC 8375 section 4
		"resolver.arpa.", // RFC 9462 section 6.4
		// Reverse zones: RFC 6303 sections 4.1 to 4.6 and, for 64.100 to
		// 127.100, RFC 7793.
		"10.in-addr.arpa.", "168.192.in-addr.arpa.",
		"0.in-addr.arpa.", "127.in-addr.arpa.", "254.169.in-addr.arpa.", "2.0.192.in-addr.arpa.",
		"100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.", "255.255.255.255.in-addr.arpa.",
		reverseIPv6(0), reverseIPv6(1), "d.f.ip6.arpa.",
		"8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.",
	}
	for i := 16; i < 32; i++ {
		list = append(list, fmt.Sprintf("%d.172.in-addr.arpa.", i))
	}
	for i := 64; i < 128; i++ {
		list = append(list, fmt.Sprintf("%d.100.in-addr.arpa.", i))
	}
	domains := make(map[string]bool, len(list))
	for _, d := range list {
		domains[d] = true
	}
	return domains
}

// reverseIPv6 is the name of the address ::n, n below 16.
func reverseIPv6(n int) string {
	name := fmt.Sprintf("%x.", n)
	for range 31 {
		name += "0."
	}
	return name + "ip6.arpa."
}

// specialDomain returns the special domain that a name (lower case) is in, or
// "". The DS record of home.arpa is its parent's and is asked for there, so that
// clients that validate learn that there is none (RFC 8375 section 4).
func specialDomain(name string, qtype uint16) string {
	for at := name; at != "."; at = above(at) {
		if special[at] {
			if at == "home.arpa." && name == at && qtype == dns.TypeDS {
				return ""
			}
			return at
		}
	}
	return ""
}
