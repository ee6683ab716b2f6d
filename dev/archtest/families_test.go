package archtest

import (
	"regexp"
	"strings"
	"testing"
)

// ip4Name is what only IPv4 has: its headers, its constants, its numbers.
var ip4Name = regexp.MustCompile(`\b(?:__be32|iphdr|icmphdr|arp_ipv4|IPPROTO_ICMP|ICMP_[A-Z_]+|IP_[A-Z_]+|ETH_P_IP|ETH_P_ARP|AF_INET|ipv4_\w+|ip4_\w+|user_ip4|ihl|frag_off|saddr|daddr)\b`)

var cComment = regexp.MustCompile(`(?s)/\*.*?\*/`)

// isNeutral reports whether a file of bpf/ must not know an address family:
// all but those of IPv4, the family's own header, the kernel's interface, and
// the programs.
func isNeutral(file string) bool {
	name := strings.TrimPrefix(file, "bpf/")
	return !strings.HasPrefix(name, "ip4_") && name != "family.h" && name != "kernel.h" && strings.HasSuffix(name, ".h")
}

// TestNeutralHeadersKnowNoFamily: what knows sessions, bindings and ports will
// be compiled once more for IPv6, and names addr_t alone. scripts/lint.sh
// compiles these headers with another addr_t.
func TestNeutralHeadersKnowNoFamily(t *testing.T) {
	t.Parallel()
	neutral := 0
	for file, text := range bpfSource(t) {
		if !isNeutral(file) {
			continue
		}
		neutral++
		if name := ip4Name.FindString(cComment.ReplaceAllString(text, "")); name != "" {
			t.Errorf("%s knows %s, which is IPv4's: move what needs it to an ip4_ header", file, name)
		}
	}
	if neutral < 10 {
		t.Errorf("only %d neutral headers found in bpf/", neutral)
	}
}

// TestOnePlaceForTimeAndWrites: a dry run changes nothing and tests have a clock
// of their own because all of the data path goes through bpf/maps.h for both.
func TestOnePlaceForTimeAndWrites(t *testing.T) {
	t.Parallel()
	helper := regexp.MustCompile(`\bbpf_(?:ktime_get_\w+|map_update_elem|map_delete_elem)\(`)
	for file, text := range bpfSource(t) {
		if file == "bpf/maps.h" || file == "bpf/kernel.h" {
			continue
		}
		if name := helper.FindString(cComment.ReplaceAllString(text, "")); name != "" {
			t.Errorf("%s calls %s): use now(), map_update() or map_delete() of bpf/maps.h", file, name)
		}
	}
}
