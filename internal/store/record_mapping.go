package store

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// mappingRecord is a static mapping as it is stored. Protocol is an IP protocol
// number; 255: a whole address.
type mappingRecord struct {
	ID       uint32          `json:"id"`
	NAT      string          `json:"nat"`
	Protocol uint8           `json:"protocol"`
	External addrPortsRecord `json:"external"`
	Targets  []targetRecord  `json:"targets"`
	From     []netip.Prefix  `json:"from,omitempty"`
	metadataRecord
}

// addrPortsRecord is an address and a range of ports; none: the whole address.
type addrPortsRecord struct {
	Address netip.Addr  `json:"address"`
	Ports   portsRecord `json:"ports,omitzero"`
}

type targetRecord struct {
	Endpoint string          `json:"endpoint,omitempty"`
	Network  string          `json:"network"`
	MAC      string          `json:"mac,omitempty"`
	Internal addrPortsRecord `json:"internal"`
}

func addrPortsToRecord(a model.AddrPorts) addrPortsRecord {
	return addrPortsRecord{a.Address, portsRecord(a.Ports)}
}

func (r addrPortsRecord) value() model.AddrPorts {
	return model.AddrPorts{Address: r.Address, Ports: model.PortRange(r.Ports)}
}

func mappingToRecord(m model.Mapping) mappingRecord {
	return mappingRecord{
		metadataRecord: metadataToRecord(m.Metadata),
		ID:             m.ID, NAT: m.NAT, Protocol: uint8(m.Protocol), External: addrPortsToRecord(m.External), From: m.From,
		Targets: mapEach(m.Targets, func(t model.Target) targetRecord {
			return targetRecord{t.Endpoint, t.Network, string(t.MAC), addrPortsToRecord(t.Internal)}
		}),
	}
}

func (r mappingRecord) value() model.Mapping {
	return model.Mapping{
		Metadata: r.metadata(),
		ID:       r.ID, NAT: r.NAT, Protocol: model.Protocol(r.Protocol), External: r.External.value(), From: orEmpty(r.From),
		Targets: mapEach(r.Targets, func(t targetRecord) model.Target {
			return model.Target{Endpoint: t.Endpoint, Network: t.Network, MAC: model.MAC(t.MAC), Internal: t.Internal.value()}
		}),
	}
}
