package store

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// natRecord is a NAT as it is stored. Durations are whole seconds.
type natRecord struct {
	Name               string                  `json:"name"`
	ID                 uint32                  `json:"id"`
	ExternalInterfaces []string                `json:"externalInterfaces,omitempty"`
	ExternalAddresses  []externalAddressRecord `json:"externalAddresses,omitempty"`
	Profile            string                  `json:"profile"`
	Timeouts           timeoutsRecord          `json:"timeouts"`
	TCPFiltering       string                  `json:"tcpFiltering"`
	UDPFiltering       string                  `json:"udpFiltering"`
	UDPInboundRefresh  bool                    `json:"udpInboundRefresh,omitempty"`
	Pooling            string                  `json:"pooling"`
	EndpointDependent  bool                    `json:"endpointDependent,omitempty"`
	HoldDown           uint32                  `json:"holdDown"`
	Limits             limitsRecord            `json:"limits"`
	MSSClamp           bool                    `json:"mssClamp"`
	Exhaustion         string                  `json:"exhaustion"`
	LinkLocal          bool                    `json:"linkLocal,omitempty"`
	Table              uint32                  `json:"table,omitempty"`
	metadataRecord
}

type externalAddressRecord struct {
	Address netip.Addr  `json:"address"`
	Ports   portsRecord `json:"ports"`
	Added   bool        `json:"added,omitempty"`
}

// portsRecord is a range of ports with both ends; 0 to 0: none.
type portsRecord struct {
	Low  uint16 `json:"low"`
	High uint16 `json:"high"`
}

type timeoutsRecord struct {
	UDP            uint32 `json:"udp"`
	TCPEstablished uint32 `json:"tcpEstablished"`
	TCPTransitory  uint32 `json:"tcpTransitory"`
	ICMP           uint32 `json:"icmp"`
}

type limitsRecord struct {
	Sessions uint32 `json:"sessions"`
	Ports    uint32 `json:"ports"`
	Rate     uint32 `json:"rate"`
}

func natToRecord(n model.NAT) natRecord {
	return natRecord{
		metadataRecord: metadataToRecord(n.Metadata),
		Name:           n.Name, ID: n.ID, ExternalInterfaces: n.ExternalInterfaces,
		ExternalAddresses: mapEach(n.ExternalAddresses, func(a model.ExternalAddress) externalAddressRecord {
			return externalAddressRecord{a.Address, portsRecord(a.Ports), a.Added}
		}),
		Profile: string(n.Profile),
		Timeouts: timeoutsRecord{
			UDP: uint32(n.Timeouts.UDP), TCPEstablished: uint32(n.Timeouts.TCPEstablished),
			TCPTransitory: uint32(n.Timeouts.TCPTransitory), ICMP: uint32(n.Timeouts.ICMP),
		},
		TCPFiltering: string(n.TCPFiltering), UDPFiltering: string(n.UDPFiltering), UDPInboundRefresh: n.UDPInboundRefresh,
		Pooling: string(n.Pooling), EndpointDependent: n.EndpointDependent, HoldDown: uint32(n.HoldDown),
		Limits: limitsRecord(n.Limits), MSSClamp: n.MSSClamp, Exhaustion: string(n.Exhaustion), LinkLocal: n.LinkLocal, Table: n.Table,
	}
}

func (r natRecord) value() model.NAT {
	return model.NAT{
		Metadata: r.metadata(),
		Name:     r.Name, ID: r.ID, ExternalInterfaces: orEmpty(r.ExternalInterfaces),
		ExternalAddresses: orEmpty(mapEach(r.ExternalAddresses, func(a externalAddressRecord) model.ExternalAddress {
			return model.ExternalAddress{Address: a.Address, Ports: model.PortRange(a.Ports), Added: a.Added}
		})),
		Profile: model.Profile(r.Profile),
		Timeouts: model.Timeouts{
			UDP: model.Seconds(r.Timeouts.UDP), TCPEstablished: model.Seconds(r.Timeouts.TCPEstablished),
			TCPTransitory: model.Seconds(r.Timeouts.TCPTransitory), ICMP: model.Seconds(r.Timeouts.ICMP),
		},
		TCPFiltering: model.Filtering(r.TCPFiltering), UDPFiltering: model.Filtering(r.UDPFiltering), UDPInboundRefresh: r.UDPInboundRefresh,
		Pooling: model.Pooling(r.Pooling), EndpointDependent: r.EndpointDependent, HoldDown: model.Seconds(r.HoldDown),
		Limits: model.Limits(r.Limits), MSSClamp: r.MSSClamp, Exhaustion: model.Exhaustion(r.Exhaustion), LinkLocal: r.LinkLocal, Table: r.Table,
	}
}

// mapEach converts each element of a list; none stays none.
func mapEach[From, To any](list []From, convert func(From) To) []To {
	if list == nil {
		return nil
	}
	out := make([]To, len(list))
	for i, v := range list {
		out[i] = convert(v)
	}
	return out
}

// orEmpty is the list, and an empty one for none, where that is what the value has.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
