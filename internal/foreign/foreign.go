// Package foreign reads what other tools print of their networks, and proposes what of
// it hostnat would have: as a person would write it, to be read before it is applied.
// No IO, no clock.
package foreign

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

// Proposal is what hostnat would have, and what a person has to know about it.
type Proposal struct {
	wanted.Objects
	Notes []string // a sentence each
}

func (p *Proposal) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

var readers = map[string]func(string) (Proposal, error){
	"docker": Docker, "libvirt": Libvirt, "netnat": NetNat, "portproxy": PortProxy,
}

// Kinds are the tools whose output is understood.
func Kinds() []string { return slices.Sorted(maps.Keys(readers)) }

// Read proposes objects from what a tool of that kind prints.
func Read(kind, text string) (Proposal, error) {
	read, ok := readers[kind]
	if !ok {
		return Proposal{}, fmt.Errorf("%q is none of %s", kind, strings.Join(Kinds(), ", "))
	}
	text = strings.TrimPrefix(text, "\ufeff") // Windows begins files with it
	p, err := read(strings.ReplaceAll(text, "\r\n", "\n"))
	if err == nil && len(p.NATs)+len(p.Networks)+len(p.Reservations)+len(p.Mappings)+len(p.Proxies)+len(p.Notes) == 0 {
		err = fmt.Errorf("nothing of %s is in it", kind)
	}
	return p, err
}

// name makes a name that hostnat takes out of one that it does not.
func name(text string) string {
	allowed := func(r rune) rune {
		if r < 0x80 && (r == '.' || r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			return r
		}
		return '-'
	}
	return strings.Trim(strings.Map(allowed, text), "-.")
}

// external is the outer side of a mapping: every address is said by none.
func external(address, ports string) string {
	if a, err := netip.ParseAddr(address); address == "" || err == nil && a.IsUnspecified() {
		return ports
	}
	return address + ":" + ports
}
