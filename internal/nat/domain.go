package nat

import "strings"

// privateDomain is the top-level domain for names that are nobody else's
// business (ICANN resolution 2024.07.29.06).
const privateDomain = "internal"

// maxDomain leaves room for an endpoint's name before the domain: 253 bytes are
// the most a name's text can have (RFC 1035 section 2.3.4).
const maxDomain = 253 - 1 - MaxName

const domainHint = "use labels of letters, digits, '_' and '-' with dots between, such as lab.internal"

// DomainName is the domain that the names of the network's endpoints are in,
// lower case and without a final dot.
func (n Network) DomainName() string {
	if n.Domain == "" {
		return n.OwnDomain()
	}
	return n.Domain
}

// OwnDomain is the domain that a network's names are in whatever Domain says:
// NETWORK.internal, lower case.
func (n Network) OwnDomain() string {
	name, _ := CutIsland(n.Name)
	return strings.ToLower(name) + "." + privateDomain
}

// parseDomain reads a network's domain; "" is OwnDomain.
func parseDomain(text string) (string, error) {
	d := strings.ToLower(strings.TrimSuffix(text, "."))
	switch {
	case d == "":
		return "", nil
	case len(d) > maxDomain:
		return "", Errorf(Invalid, "domain %q is longer than %d bytes", clip(text), maxDomain).WithHint(domainHint)
	case looksLikeAddress(d):
		return "", Errorf(Invalid, "domain %q looks like an address", clip(text)).WithHint(domainHint)
	case reservedDomain(d):
		return "", Errorf(Invalid, "domain %q has a meaning of its own", clip(text)).WithHint("use another, such as lab.%s", privateDomain)
	}
	for label := range strings.SplitSeq(d, ".") {
		if !IsHostLabel(label) {
			return "", Errorf(Invalid, "domain %q has the label %q", clip(text), clip(label)).WithHint(domainHint)
		}
	}
	return d, nil
}

// reservedDomain reports whether the domain is not for names of machines in the
// DNS: RFC 6761, RFC 6762 section 3, RFC 7686; in arpa are addresses, and
// home.arpa (RFC 8375), which may be used.
func reservedDomain(d string) bool {
	if d == "home.arpa" || strings.HasSuffix(d, ".home.arpa") {
		return false
	}
	switch d[strings.LastIndexByte(d, '.')+1:] {
	case "localhost", "local", "invalid", "onion", "arpa":
		return true
	}
	return false
}

// IsHostLabel reports whether s can be one label of a machine's name: letters,
// digits, '-' and '_', not '-' at an end, 1 to 63 bytes (RFC 1123 section 2.1;
// '_' because people and container engines use it).
func IsHostLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r == '.' || !nameRune(r) })
}
