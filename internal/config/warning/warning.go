// Package warning finds what a configuration allows and nobody can have meant.
package warning

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Subject is what a Warning is about: one object of the configuration.
type Subject struct {
	Kind SubjectKind
	Name string // of those that have one
	ID   uint32 // of the others
}

// ReservationSubject is what warnings about a reservation are about.
func ReservationSubject(r model.Reservation) Subject {
	return Subject{Kind: OfReservation, Name: r.Network + "/" + r.Address.String()}
}

// SubjectKind is the kind of an object.
type SubjectKind string

// The kinds of objects that warnings are about.
const (
	OfNetwork     SubjectKind = "network"
	OfNAT         SubjectKind = "NAT"
	OfEndpoint    SubjectKind = "endpoint"
	OfMapping     SubjectKind = "mapping"
	OfProxy       SubjectKind = "port proxy"
	OfReservation SubjectKind = "reservation"
)

// Warning is something that is allowed and surely not meant. It holds for as long as
// the configuration and the host are as they are.
type Warning struct {
	About Subject
	Text  string // one line that names the object, what is wrong with it and what to do
}

// Warner finds warnings in a configuration.
type Warner struct {
	config *config.Config
	host   model.HostFacts
	absent map[string]error // endpoints that are not there, by name

	known map[place]bool // where somebody is known to be
}

type place struct {
	network string
	address netip.Addr
}

// New returns a Warner for a configuration in force. Absent has the endpoints that are
// not there at the moment, by name.
func New(c *config.Config, host model.HostFacts, absent map[string]error) *Warner {
	w := &Warner{config: c, host: host, absent: absent, known: make(map[place]bool, len(c.Endpoints)+len(c.Discovered))}
	for _, list := range [][]model.Endpoint{c.Endpoints, c.Discovered} {
		for _, e := range list {
			if absent[e.Name] == nil || !e.Managed() {
				w.known[place{e.Network, e.Address4()}] = true
			}
		}
	}
	for _, l := range c.Leases {
		w.known[place{l.Network, l.Address}] = true
	}
	return w
}

// All returns the warnings about everything.
func (w *Warner) All() []Warning { return w.find(func(Subject) bool { return true }) }

// About returns the warnings about one object; none if it does not exist.
func (w *Warner) About(s Subject) []Warning { return w.find(func(o Subject) bool { return o == s }) }

// find looks at the objects that are selected.
func (w *Warner) find(selected func(Subject) bool) (list []Warning) {
	look := func(s Subject, texts func() []string) {
		if !selected(s) {
			return
		}
		for _, text := range texts() {
			list = append(list, Warning{About: s, Text: text})
		}
	}
	for _, n := range w.config.NATs {
		look(Subject{Kind: OfNAT, Name: n.Name}, func() []string { return natWarnings(n) })
	}
	for _, n := range w.config.Networks {
		look(Subject{Kind: OfNetwork, Name: n.Name}, func() []string { return w.networkWarnings(n) })
	}
	for _, e := range w.config.Endpoints {
		look(Subject{Kind: OfEndpoint, Name: e.Name}, func() []string { return w.endpointWarnings(e) })
	}
	for _, r := range w.config.Reservations {
		look(ReservationSubject(r), func() []string { return w.reservationWarnings(r) })
	}
	for _, m := range w.config.Mappings {
		look(Subject{Kind: OfMapping, ID: m.ID}, func() []string { return w.mappingWarnings(m) })
	}
	for _, p := range w.config.Proxies {
		look(Subject{Kind: OfProxy, ID: p.ID}, func() []string { return w.proxyWarnings(p) })
	}
	return list
}

// isThere reports whether somebody is known to be at an address of a network.
func (w *Warner) isThere(network string, a netip.Addr) bool {
	if w.known[place{network, a}] {
		return true
	}
	return slices.ContainsFunc(w.config.EndpointsOf(network), func(e model.Endpoint) bool {
		_, allowed := e.Allowed(a)
		return allowed && w.absent[e.Name] == nil
	})
}
