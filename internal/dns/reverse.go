package dns

import (
	"net/netip"
	"strconv"
	"strings"
)

const reverseIPv4 = ".in-addr.arpa."

// reversed returns the prefix that a name (lower case) of the reverse tree is
// about: "1.16.172.in-addr.arpa." is 172.16.1.0/24. RFC 1035 section 3.5.
func reversed(name string) (netip.Prefix, bool) {
	digits, found := strings.CutSuffix(name, reverseIPv4)
	if !found {
		return netip.Prefix{}, false
	}
	labels := strings.Split(digits, ".")
	if len(labels) > 4 {
		return netip.Prefix{}, false
	}
	var a [4]byte
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != label { // "01" is another name
			return netip.Prefix{}, false
		}
		a[len(labels)-1-i] = byte(n)
	}
	return netip.PrefixFrom(netip.AddrFrom4(a), 8*len(labels)), true
}

// reverseZone returns the name of the smallest reverse zone that holds a subnet:
// "1.16.172.in-addr.arpa." for 172.16.1.64/26.
func reverseZone(subnet netip.Prefix) string {
	a := subnet.Addr().As4()
	name := ""
	for i := range min(3, subnet.Bits()/8) {
		name = strconv.Itoa(int(a[i])) + "." + name
	}
	return name + reverseIPv4[1:]
}
