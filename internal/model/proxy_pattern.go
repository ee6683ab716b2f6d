package model

import (
	"net/netip"
	"strings"
)

// AnyName is the pattern of the route for every name that no other route of a
// proxy has, and for clients that name nothing.
const AnyName = "*"

const Wildcard = "*."

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
		switch name, isWildcard := strings.CutPrefix(r.Pattern, Wildcard); {
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
