package store

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// countersRecord has the ids that are given out next. They change with every
// object that is added.
type countersRecord struct {
	NextID      uint32 `json:"nextId"`
	NextMapping uint32 `json:"nextMappingId"`
	NextProxy   uint32 `json:"nextProxyId,omitempty"`
}

func countersToRecord(c config.Config) countersRecord {
	return countersRecord{NextID: c.NextID, NextMapping: c.NextMapping, NextProxy: c.NextProxy}
}

func (r countersRecord) addTo(c *config.Config) {
	c.NextID, c.NextMapping, c.NextProxy = r.NextID, r.NextMapping, r.NextProxy
}

// restRecord is what a configuration has beside the counters and the lists of
// which each element is a record.
type restRecord struct {
	Compartments []compartmentRecord `json:"compartments"`
	Reservations []reservationRecord `json:"reservations,omitempty"`
	Pools        []poolRecord        `json:"pools,omitempty"`
	Remembered   []rememberedRecord  `json:"remembered,omitempty"`
}

type compartmentRecord struct {
	Name string `json:"name"`
	ID   uint32 `json:"id"`
}

type reservationRecord struct {
	Network string     `json:"network"`
	MAC     string     `json:"mac,omitempty"`
	Name    string     `json:"name,omitempty"`
	Address netip.Addr `json:"address"`
	metadataRecord
}

type poolRecord struct {
	Prefix netip.Prefix `json:"prefix"`
	Size   int          `json:"size"` // prefix length of the subnets
}

type rememberedRecord struct {
	Network string     `json:"network"`
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`
}

func restToRecord(c config.Config) restRecord {
	return restRecord{
		Compartments: mapEach(c.Compartments, func(v model.Compartment) compartmentRecord { return compartmentRecord(v) }),
		Reservations: mapEach(c.Reservations, func(v model.Reservation) reservationRecord {
			return reservationRecord{v.Network, string(v.MAC), v.Name, v.Address, metadataToRecord(v.Metadata)}
		}),
		Pools: mapEach(c.Pools, func(v model.Pool) poolRecord { return poolRecord(v) }),
		Remembered: mapEach(c.Remembered, func(v model.Remembered) rememberedRecord {
			return rememberedRecord{v.Network, v.Name, v.Address, string(v.MAC)}
		}),
	}
}

func (r restRecord) addTo(c *config.Config) {
	c.Compartments = mapEach(r.Compartments, func(v compartmentRecord) model.Compartment { return model.Compartment(v) })
	c.Reservations = mapEach(r.Reservations, func(v reservationRecord) model.Reservation {
		return model.Reservation{Network: v.Network, MAC: model.MAC(v.MAC), Name: v.Name, Address: v.Address, Metadata: v.metadata()}
	})
	c.Pools = mapEach(r.Pools, func(v poolRecord) model.Pool { return model.Pool(v) })
	c.Remembered = mapEach(r.Remembered, func(v rememberedRecord) model.Remembered {
		return model.Remembered{Network: v.Network, Name: v.Name, Address: v.Address, MAC: model.MAC(v.MAC)}
	})
}
