package resolved

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
)

// wish is what systemd-resolved is to know of one network.
type wish struct {
	network string
	bridge  string
	adopted bool
	server  netip.Addr
	domains []string // sorted, each once, without a final dot
}

// Extent is which names the host is to find. In text "off", "internal" or "all".
// The zero value is internal.
type Extent string

// The three extents.
const (
	InternalNames Extent = ""    // those below internal and home.arpa: they are nobody else's
	AllNames      Extent = "all" // those in a network's own domain, too, which may exist elsewhere
	NoNames       Extent = "off"
)

// String is "off", "internal" or "all".
func (e Extent) String() string {
	if e == InternalNames {
		return "internal"
	}
	return string(e)
}

// MarshalText encodes as String does.
func (e Extent) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what String writes.
func (e *Extent) UnmarshalText(text []byte) error {
	switch v := Extent(text); v {
	case "internal":
		*e = InternalNames
	case AllNames, NoNames:
		*e = v
	default:
		return fmt.Errorf("%q is not known: use internal, all or off", text)
	}
	return nil
}

// wishes are those of all networks whose names mean something to the host. An
// address of another compartment does not: the host would take it for one of its
// own compartment, or of the outside.
func wishes(cfg config.Config, extent Extent) []wish {
	var list []wish
	if extent == NoNames {
		return nil
	}
	for _, n := range cfg.Networks {
		if !n.DNS.On() || n.Unrouted() {
			continue
		}
		domains := []string{n.OwnDomain()}
		if d := n.DomainName(); extent == AllNames || private(d) {
			domains = append(domains, d)
		}
		slices.Sort(domains)
		list = append(list, wish{
			network: n.Name, bridge: n.Bridge, adopted: n.Adopted,
			server: n.Gateway4(), domains: slices.Compact(domains),
		})
	}
	return list
}

// private reports whether a domain cannot be anybody else's: the top-level domain
// internal is kept free for that (ICANN resolution 2024.07.29.06), and home.arpa
// (RFC 8375).
func private(domain string) bool {
	return strings.HasSuffix("."+domain, ".internal") || strings.HasSuffix("."+domain, ".home.arpa")
}

func (w wish) equal(o wish) bool {
	return w.network == o.network && w.bridge == o.bridge && w.adopted == o.adopted &&
		w.server == o.server && slices.Equal(w.domains, o.domains)
}

// setting is what systemd-resolved knows of a link.
type setting struct {
	servers []netip.Addr
	domains []domain
}

// domain is one of a link's.
type domain struct {
	name    string // without a final dot
	routing bool   // queries for it go to the link; it is not appended to bare names
}

// fulfils reports whether nothing has to be told. Whether a link is for other
// queries too is not in a setting: one that is as wished has been set by set,
// which says so first.
func (s setting) fulfils(w wish) bool {
	if !slices.Equal(s.servers, []netip.Addr{w.server}) {
		return false
	}
	var names []string
	for _, d := range s.domains {
		if !d.routing {
			return false
		}
		names = append(names, strings.ToLower(d.name))
	}
	slices.Sort(names)
	return slices.Equal(names, w.domains)
}

// foreign reports whether somebody else has given the link name servers.
func (s setting) foreign(w wish) bool {
	return len(s.servers) > 0 && !slices.Equal(s.servers, []netip.Addr{w.server})
}
