package rerun

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// told is a configuration as a file has it: some values of ours are read as text, and
// are not written so.
type told struct {
	datapath.Config
	Mappings map[uint32]mapping
}

type addrPorts model.AddrPorts

type mapping struct {
	NAT, Compartment uint32
	Protocol         model.Protocol
	External         addrPorts
	Targets          []target
	From             []netip.Prefix
}

type target struct {
	Network  uint32
	Internal addrPorts
}

// WriteTold writes what the data path was told.
func WriteTold(c datapath.Config) (json.RawMessage, error) {
	t := told{Config: c, Mappings: make(map[uint32]mapping, len(c.Mappings))}
	for id, m := range c.Mappings {
		one := mapping{m.NAT, m.Compartment, m.Protocol, addrPorts(m.External), nil, m.From}
		for _, to := range m.Targets {
			one.Targets = append(one.Targets, target{to.Network, addrPorts(to.Internal)})
		}
		t.Mappings[id] = one
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("writing what the data path was told: %w", err)
	}
	return text, nil
}

// ReadTold is the inverse. What no daemon tells a data path is refused.
func ReadTold(text json.RawMessage) (datapath.Config, error) {
	var t told
	if err := json.Unmarshal(text, &t); err != nil {
		return datapath.Config{}, err
	}
	c := t.Config
	c.Mappings = make(map[uint32]datapath.Mapping, len(t.Mappings))
	for id, m := range t.Mappings {
		one := datapath.Mapping{NAT: m.NAT, Compartment: m.Compartment, Protocol: m.Protocol, External: model.AddrPorts(m.External), From: m.From}
		for _, to := range m.Targets {
			one.Targets = append(one.Targets, datapath.Target{Network: to.Network, Internal: model.AddrPorts(to.Internal)})
		}
		c.Mappings[id] = one
	}
	return c, c.Check()
}
