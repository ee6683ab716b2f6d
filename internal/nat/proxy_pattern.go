package nat

import (
	"net/netip"
	"strings"
)

// AnyName is the pattern of the route for every name that no other route of a
// proxy has, and for clients that name nothing.
const AnyName = "*"

const wildcard = "*."

const patternHint = "write NAME=HOST:PORT; '*.NAME' is every name below NAME, '*' every other name"

// FoldServerName returns a server's name in the form in which it is compared
// with patterns: ASCII letters in lower case, no final dot, addresses as netip
// writes them. Other bytes stay as they are: a name outside ASCII travels as
// "xn--..." already.
func FoldServerName(name string) string {
	name = strings.TrimSuffix(lowerASCII(name), ".")
	if strings.Contains(name, ":") || onlyAddressBytes(name) {
		if a, err := netip.ParseAddr(name); err == nil {
			return a.Unmap().String()
		}
	}
	return name
}

// onlyAddressBytes spares ordinary names an attempt to parse them.
func onlyAddressBytes(name string) bool {
	return name != "" && name[len(name)-1] >= '0' && name[len(name)-1] <= '9'
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// checkPattern returns a route's pattern as it is stored.
func checkPattern(pattern string) (string, error) {
	switch {
	case pattern == "":
		return "", Errorf(Invalid, "a route has no name").WithHint(patternHint)
	case pattern == AnyName:
		return pattern, nil
	}
	for _, r := range pattern {
		if r >= 0x80 {
			return "", Errorf(Invalid, "route name %q is not ASCII", clip(pattern)).WithHint("write it as it travels: xn--...")
		}
	}
	bracketed := strings.HasPrefix(pattern, "[") && strings.HasSuffix(pattern, "]")
	if bracketed {
		pattern = pattern[1 : len(pattern)-1]
	}
	folded := FoldServerName(pattern)
	if _, err := netip.ParseAddr(folded); err == nil {
		return folded, nil
	}
	name := strings.TrimPrefix(folded, wildcard)
	if bracketed || strings.Contains(name, "*") {
		return "", Errorf(Invalid, "route name %q is none that a client could ask for", clip(pattern)).WithHint(patternHint)
	}
	return folded, checkHostName("route", name)
}

// checkRoutes refuses lists that contradict themselves.
func checkRoutes(routes []ProxyRoute) error {
	if len(routes) == 0 {
		return Errorf(Invalid, "the proxy has no routes").WithHint(patternHint)
	}
	seen := make(map[string]HostPorts, len(routes))
	for _, r := range routes {
		if has, twice := seen[r.Pattern]; twice {
			return Errorf(Conflict, "the name %s leads to %s and to %s", r.Pattern, has, r.Connect).WithHint("give each name once")
		}
		seen[r.Pattern] = r.Connect
	}
	return nil
}

// ServerNames finds the route for a name. It is not changed once it is made.
type ServerNames struct {
	exact    map[string]HostPorts
	below    map[string]HostPorts // wildcards, without "*."
	fallback *HostPorts
}

// NewServerNames makes one from routes that were checked.
func NewServerNames(routes []ProxyRoute) *ServerNames {
	s := &ServerNames{exact: make(map[string]HostPorts), below: make(map[string]HostPorts)}
	for _, r := range routes {
		switch name, isWildcard := strings.CutPrefix(r.Pattern, wildcard); {
		case r.Pattern == AnyName:
			s.fallback = &r.Connect
		case isWildcard:
			s.below[name] = r.Connect
		default:
			s.exact[r.Pattern] = r.Connect
		}
	}
	return s
}

// Lookup returns where those go who ask for a name: the route of that very
// name, else the longest wildcard above it, at any depth, else the default.
// An empty name has the default alone. Name is as the client spells it.
func (s *ServerNames) Lookup(name string) (HostPorts, bool) {
	name = FoldServerName(name)
	if target, ok := s.exact[name]; ok {
		return target, true
	}
	for rest := name; ; {
		_, above, found := strings.Cut(rest, ".")
		if !found {
			break
		}
		if target, ok := s.below[above]; ok {
			return target, true
		}
		rest = above
	}
	if s.fallback == nil {
		return HostPorts{}, false
	}
	return *s.fallback, true
}
