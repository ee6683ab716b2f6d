package traffic

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// endpointKey is what an endpoint is known by: its name, or else its address.
type endpointKey struct {
	name, network, compartment string
	address                    netip.Addr
}

func endpointKeyOf(name, network, compartment string, address netip.Addr) endpointKey {
	if name != "" {
		return endpointKey{name: name, network: network, compartment: compartment}
	}
	return endpointKey{network: network, compartment: compartment, address: address}
}

// endpointList sums sessions by endpoint.
type endpointList struct {
	rows  []Endpoint
	moved []counters // by the same index
	index map[endpointKey]int
}

func newEndpointList(holders []Holder) *endpointList {
	l := &endpointList{index: make(map[endpointKey]int, len(holders))}
	for _, h := range holders {
		i := l.at(endpointKeyOf(h.Endpoint, h.Network, h.Compartment, h.Address), h.Address)
		l.rows[i].Sessions += h.Sessions
		if h.Address.Less(l.rows[i].Address) {
			l.rows[i].Address = h.Address
		}
	}
	return l
}

func (l *endpointList) at(key endpointKey, address netip.Addr) int {
	i, known := l.index[key]
	if !known {
		i = len(l.rows)
		l.index[key] = i
		l.rows = append(l.rows, Endpoint{Name: key.name, Network: key.network, Compartment: key.compartment, Address: address})
		l.moved = append(l.moved, counters{})
	}
	return i
}

// add counts what a session has sent, and returns 1 if it was opened.
func (l *endpointList) add(s *model.Session, moved counters, opened bool) uint64 {
	i := l.at(endpointKeyOf(s.Endpoint, s.Network, s.Compartment, s.Internal.Addr()), s.Internal.Addr())
	l.moved[i] = l.moved[i].plus(moved)
	if !opened {
		return 0
	}
	l.rows[i].Opened++
	return 1
}

func (l *endpointList) rates(over time.Duration) []Endpoint {
	for i := range l.rows {
		l.rows[i].Rate = l.moved[i].over(over)
	}
	return l.rows
}
