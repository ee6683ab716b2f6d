package dns

import (
	"bufio"
	"bytes"
	"cmp"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/regular"
)

// Files says where the host's resolvers are named.
type Files struct {
	ResolvConf string // resolv.conf(5)
	Resolved   string // what systemd-resolved asks itself, in the same form
}

// maxResolvConf is how long such a file may be, in bytes: the C library reads three
// resolvers of it.
const maxResolvConf = 64 << 10

// HostFiles are the host's own, or another resolv.conf(5).
func HostFiles(resolvConf string) Files {
	return Files{ResolvConf: cmp.Or(resolvConf, "/etc/resolv.conf"), Resolved: "/run/systemd/resolve/resolv.conf"}
}

// The addresses that systemd-resolved listens on (systemd-resolved.service(8)).
var resolvedStubs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 53}), netip.AddrFrom4([4]byte{127, 0, 0, 54})}

// resolvers returns whom the host asks. Where that is systemd-resolved, it is
// whom that one asks; a stub without a file stays. Addresses for which own holds
// are left out: they are ours, and would ask us again.
func (f Files) resolvers(own func(netip.Addr) bool) ([]netip.AddrPort, error) {
	text, err := regular.ReadAnyones(f.ResolvConf, maxResolvConf)
	if err != nil {
		return nil, err
	}
	listed := nameservers(text)
	var list []netip.AddrPort
	for _, a := range listed {
		next := []netip.Addr{a}
		if isStub(a) {
			if text, err := regular.ReadAnyones(f.Resolved, maxResolvConf); err == nil && len(nameservers(text)) > 0 {
				next = nameservers(text)
			}
		}
		for _, a := range next {
			if !own(a) {
				list = appendNew(list, netip.AddrPortFrom(a, port))
			}
		}
	}
	return list, nil
}

func isStub(a netip.Addr) bool { return a == resolvedStubs[0] || a == resolvedStubs[1] }

func appendNew(list []netip.AddrPort, a netip.AddrPort) []netip.AddrPort {
	for _, has := range list {
		if has == a {
			return list
		}
	}
	return append(list, a)
}

// maxResolvers is how many of a file are used; resolv.conf(5) has three.
const maxResolvers = 8

// nameservers reads the addresses of a resolv.conf(5). Lines that it cannot read
// are passed over, as the C library does.
func nameservers(text []byte) []netip.Addr {
	var list []netip.Addr
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() && len(list) < maxResolvers {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, a.Unmap())
		}
	}
	return list
}
