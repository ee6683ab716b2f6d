package traffic

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// networks sums the endpoints by network.
func (l *endpointList) networks(over time.Duration) []Network {
	type key struct{ name, compartment string }
	var rows []Network
	var moved []counters
	index := make(map[key]int)
	for i := range l.rows {
		e := &l.rows[i]
		k := key{e.Network, e.Compartment}
		at, known := index[k]
		if !known {
			at = len(rows)
			index[k] = at
			rows, moved = append(rows, Network{Name: e.Network, Compartment: e.Compartment}), append(moved, counters{})
		}
		rows[at].Sessions += e.Sessions
		rows[at].Opened += e.Opened
		moved[at] = moved[at].plus(l.moved[i])
	}
	for i := range rows {
		rows[i].Rate = moved[i].over(over)
	}
	return rows
}

// externalKey is what an external address is known by.
type externalKey struct {
	nat     string
	address netip.Addr
}

// externalList sums sessions by external address.
type externalList struct {
	rows  []External
	moved []counters // by the same index
	index map[externalKey]int
}

func (l *externalList) add(s *model.Session, moved counters) {
	if moved == (counters{}) {
		return
	}
	key := externalKey{s.NAT, s.External.Addr()}
	i, known := l.index[key]
	if !known {
		i = len(l.rows)
		l.index[key] = i
		l.rows, l.moved = append(l.rows, External{NAT: key.nat, Address: key.address}), append(l.moved, counters{})
	}
	l.moved[i] = l.moved[i].plus(moved)
}

func (l *externalList) rates(over time.Duration) []External {
	for i := range l.rows {
		l.rows[i].Rate = l.moved[i].over(over)
	}
	return l.rows
}
