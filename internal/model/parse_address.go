package model

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParseIPv4 reads a dotted IPv4 address. What names the thing that has it, for
// the refusal: "gateway", "external address".
func ParseIPv4(what, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil && a.Is4():
		return a, nil
	case err == nil:
		return netip.Addr{}, Errorf(Invalid, "%s %s is IPv6", what, a.WithZone("")).
			WithHint("give an IPv4 address; IPv6 is not supported yet")
	}
	if plain, ok := withoutLeadingZeros(s); ok {
		return netip.Addr{}, Errorf(Invalid, "%s %s has a number with a leading zero, which many programs read as octal", what, Clip(s)).
			WithHint("write %s", plain)
	}
	return netip.Addr{}, Errorf(Invalid, "%s %q is not an IPv4 address", what, Clip(s)).
		WithHint("write it like 172.16.1.2")
}

// ParseSubnet reads the prefix of a network: IPv4, no host bits, /1 to /30.
func ParseSubnet(s string) (netip.Prefix, error) {
	p, err := parsePrefix("subnet", s)
	if err != nil {
		return netip.Prefix{}, err
	}
	switch {
	case p.Bits() == 0:
		return netip.Prefix{}, Errorf(Invalid, "subnet %s is everything there is", p).WithHint("use a prefix of /1 to /30, for example 172.16.1.0/24")
	case p.Bits() > 30:
		return netip.Prefix{}, Errorf(Invalid, "subnet %s has no room for a gateway and an endpoint", p).WithHint("use /30 or a shorter prefix")
	case p != p.Masked():
		return netip.Prefix{}, Errorf(Invalid, "subnet %s has host bits set", p).WithHint("use %s", p.Masked())
	}
	for _, r := range reserved {
		if p.Overlaps(r.prefix) {
			return netip.Prefix{}, Errorf(Invalid, "subnet %s overlaps %s, which is %s", p, r.prefix, r.what).WithHint("use a private prefix, for example 172.16.1.0/24")
		}
	}
	return p, nil
}

// ParseAllowed reads a prefix that an endpoint may send from, or an address that
// stands for itself.
func ParseAllowed(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		s += "/32"
	}
	p, err := parsePrefix("prefix", s)
	switch {
	case err != nil:
		return netip.Prefix{}, err
	case p != p.Masked():
		return netip.Prefix{}, Errorf(Invalid, "prefix %s has host bits set", p).WithHint("use %s", p.Masked())
	case p.Bits() == 0:
		return p, nil
	}
	for _, r := range reserved {
		if p.Overlaps(r.prefix) {
			return netip.Prefix{}, Errorf(Invalid, "prefix %s overlaps %s, which is %s", p, r.prefix, r.what).WithHint("give addresses that a machine can have")
		}
	}
	return p, nil
}

// ParseRemotes reads a prefix, or an address that stands for itself, of remotes.
func ParseRemotes(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := ParseIPv4("remote", s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return checkRemotes(netip.PrefixFrom(a, 32))
	}
	p, err := parsePrefix("remote prefix", s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p != p.Masked() {
		return netip.Prefix{}, Errorf(Invalid, "remote prefix %s has host bits set", p).WithHint("use %s", p.Masked())
	}
	return checkRemotes(p)
}

// checkRemotes refuses what no packet has as its source. The host's own programs may come from
// its loopback.
func checkRemotes(p netip.Prefix) (netip.Prefix, error) {
	if p.Addr().IsLoopback() {
		return p, nil
	}
	return p, CheckReachable("remote prefix", p)
}

func parsePrefix(what, s string) (netip.Prefix, error) {
	addr, bits, found := strings.Cut(s, "/")
	if !found {
		return netip.Prefix{}, Errorf(Invalid, "%s %q has no prefix length", what, Clip(s)).WithHint("write it like 172.16.1.0/24")
	}
	a, err := ParseIPv4(what, addr)
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := netip.ParsePrefix(a.String() + "/" + bits)
	if err != nil {
		return netip.Prefix{}, Errorf(Invalid, "%s %q has a prefix length that is not 0 to 32", what, Clip(s)).WithHint("write it like 172.16.1.0/24")
	}
	return p, nil
}

// reserved is what no network can have and no external address can be in.
var reserved = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "reserved (RFC 1122)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "the host's loopback"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved (RFC 1112)"},
}

// private are the prefixes that no machine of the internet has: RFC 1918, RFC 3927,
// RFC 6598, RFC 2544, RFC 5737.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
}

// IsPrivate reports whether an IPv4 prefix has no address of a machine of the internet.
func IsPrivate(p netip.Prefix) bool {
	return slices.ContainsFunc(private, func(own netip.Prefix) bool { return own.Bits() <= p.Bits() && own.Contains(p.Addr()) })
}

// ParseStation reads an address that one machine can have.
func ParseStation(what, s string) (netip.Addr, error) {
	a, err := ParseIPv4(what, s)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, r := range reserved {
		if r.prefix.Contains(a) {
			return netip.Addr{}, Errorf(Invalid, "%s %s is in %s, which is %s", what, a, r.prefix, r.what).WithHint("give an address that a machine has")
		}
	}
	return a, nil
}

// CheckReachable refuses a prefix that has no address of a machine.
func CheckReachable(what string, p netip.Prefix) error {
	for _, r := range reserved {
		if r.prefix.Bits() <= p.Bits() && r.prefix.Contains(p.Addr()) {
			return Errorf(Invalid, "%s %s is in %s, which is %s", what, p, r.prefix, r.what).WithHint("give a prefix that machines have addresses of")
		}
	}
	return nil
}

// UsableOutside refuses addresses that no outside packet can be sent to.
func UsableOutside(what string, a netip.Addr) error {
	for _, r := range reserved {
		if r.prefix.Contains(a) {
			return Errorf(Invalid, "%s %s is in %s, which is %s", what, a, r.prefix, r.what).WithHint("use an address of the host")
		}
	}
	return nil
}

// LastAddress returns the highest address of an IPv4 prefix: the broadcast address.
func LastAddress(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// LooksLikeAddress tells "172.016.1.5", a mistyped address, from a name.
func LooksLikeAddress(s string) bool {
	return strings.Contains(s, ".") && strings.Trim(s, "0123456789.") == ""
}

// withoutLeadingZeros returns the address that s would be without them.
func withoutLeadingZeros(s string) (string, bool) {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return "", false
		}
		parts[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(parts, "."), len(parts) == 4
}

// Clip keeps a refusal to one readable line whatever was typed.
func Clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
