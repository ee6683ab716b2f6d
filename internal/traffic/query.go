package traffic

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// Order is what comes first in a list.
type Order string

// The orders. What an order does not tell apart goes by bytes, then by name.
const (
	ByBytes    Order = "bytes"
	ByPackets  Order = "packets"
	BySessions Order = "sessions" // of endpoints
	ByOpened   Order = "opened"   // endpoints by new sessions, sessions by their age, the youngest first
	ByName     Order = "name"
)

// Orders are all there are.
var Orders = []Order{ByBytes, ByPackets, BySessions, ByOpened, ByName}

// Query asks for the first rows of some.
type Query struct {
	Endpoint string          // only this one; empty: all
	Match    string          // only what has this text in a name, an address, the protocol or the state; empty: all
	ByAlias  map[string]bool // endpoints that have Match in an alias
	Order    Order           // empty: ByBytes
	Count    int             // of endpoints, and of sessions, at most
}

// Top is what is asked for of rates.
type Top struct {
	Rates
	MatchingEndpoints int // before the lists were cut
	MatchingSessions  int
}

// Check refuses a query that makes no sense.
func (q Query) Check() error {
	if q.Order != "" && !slices.Contains(Orders, q.Order) {
		return model.Errorf(model.Invalid, "order %q is not known", model.Clip(string(q.Order))).
			WithHint("use bytes, packets, sessions, opened or name")
	}
	if q.Count < 0 {
		return model.Errorf(model.Invalid, "%d is not a number of rows", q.Count)
	}
	return nil
}

// Top returns the rows that a query asks for. The rates stay as they are.
func (r Rates) Top(q Query) Top {
	match := strings.ToLower(q.Match)
	endpoints := selected(r.Endpoints, func(e *Endpoint) bool { return e.matches(q, match) })
	active := selected(r.Active, func(s *Session) bool { return s.matches(q, match) })
	slices.SortFunc(endpoints, func(a, b *Endpoint) int {
		return cmp.Or(q.Order.endpoints(a, b), cmp.Compare(b.Rate.bytes(), a.Rate.bytes()), cmp.Compare(a.Name, b.Name),
			a.Address.Compare(b.Address), cmp.Compare(a.Compartment, b.Compartment))
	})
	slices.SortFunc(active, func(a, b *Session) int {
		return cmp.Or(q.Order.sessions(a, b), cmp.Compare(b.Rate.bytes(), a.Rate.bytes()), cmp.Compare(a.Endpoint, b.Endpoint),
			a.Internal.Compare(b.Internal), a.Remote.Compare(b.Remote), cmp.Compare(a.Protocol, b.Protocol))
	})
	t := Top{Rates: r, MatchingEndpoints: len(endpoints), MatchingSessions: len(active)}
	t.Endpoints, t.Active = first(endpoints, q.Count), first(active, q.Count)
	return t
}

// selected are pointers to what is selected: rows are long, and may be many.
func selected[T any](list []T, is func(*T) bool) (rows []*T) {
	for i := range list {
		if is(&list[i]) {
			rows = append(rows, &list[i])
		}
	}
	return rows
}

// first are copies, so that the long list may go.
func first[T any](rows []*T, count int) (list []T) {
	for _, row := range rows[:min(len(rows), count)] {
		list = append(list, *row)
	}
	return list
}

func (r Rate) bytes() uint64   { return r.BytesOut + r.BytesIn }
func (r Rate) packets() uint64 { return r.PacketsOut + r.PacketsIn }

func (o Order) endpoints(a, b *Endpoint) int {
	switch o {
	case ByPackets:
		return cmp.Compare(b.Rate.packets(), a.Rate.packets())
	case BySessions:
		return cmp.Compare(b.Sessions, a.Sessions)
	case ByOpened:
		return cmp.Compare(b.Opened, a.Opened)
	case ByName:
		return cmp.Compare(a.Name, b.Name)
	}
	return 0
}

func (o Order) sessions(a, b *Session) int {
	switch o {
	case ByPackets:
		return cmp.Compare(b.Rate.packets(), a.Rate.packets())
	case ByOpened:
		return b.CreatedAt.Compare(a.CreatedAt)
	case ByName:
		return cmp.Compare(a.Endpoint, b.Endpoint)
	}
	return 0
}

func (e *Endpoint) matches(q Query, match string) bool {
	return (q.Endpoint == "" || e.Name == q.Endpoint) &&
		(match == "" || q.ByAlias[e.Name] || contains(match, e.Name, e.Network, e.Compartment, e.Address.String()))
}

func (s *Session) matches(q Query, match string) bool {
	return (q.Endpoint == "" || s.Endpoint == q.Endpoint) &&
		(match == "" || q.ByAlias[s.Endpoint] || contains(match, s.Endpoint, s.Network, s.Compartment, s.NAT, s.Protocol.String(), s.State.String(),
			s.Internal.String(), s.External.String(), s.Remote.String(), s.RemoteName))
}

func contains(match string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), match) })
}
