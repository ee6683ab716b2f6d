package reconcile

import (
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// mostActive is how many sessions are compared between two readings.
const mostActive = 1 << 14

// Traffic reads how much was sent by each session that has sent since then, how many
// sessions each address has, and what was dropped.
func (k *Kernel) Traffic(since time.Time) (traffic.Reading, error) {
	read, err := k.datapath.Traffic(since, mostActive)
	if err != nil {
		return traffic.Reading{}, err
	}
	drops, err := k.datapath.Drops()
	if err != nil {
		return traffic.Reading{}, err
	}
	return k.lastNames().reading(read, drops), nil
}

func (n names) reading(t datapath.Traffic, drops map[string]uint64) traffic.Reading {
	r := traffic.Reading{
		Sessions: t.Sessions, Drops: drops, Left: t.Left,
		Holders: make([]traffic.Holder, 0, len(t.Insides)), Active: make([]model.Session, 0, len(t.Active)),
	}
	for in, count := range t.Insides {
		r.Holders = append(r.Holders, traffic.Holder{
			Endpoint: n.endpoint(in.Compartment, in.Address), Network: n.networks[in.Network],
			Compartment: n.compartments[in.Compartment], Address: in.Address, Sessions: count,
		})
	}
	for _, s := range t.Active {
		r.Active = append(r.Active, n.session(s))
	}
	return r
}
