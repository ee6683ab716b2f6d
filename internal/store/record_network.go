package store

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// networkRecord is a network as it is stored. Subnets and gateways are lists of
// equal length: a gateway each subnet.
type networkRecord struct {
	Name         string         `json:"name"`
	ID           uint32         `json:"id"`
	Type         string         `json:"type,omitempty"` // empty: of a version that had none
	NAT          string         `json:"nat"`
	Compartment  string         `json:"compartment"`
	Subnets      []netip.Prefix `json:"subnets"`
	Gateways     []netip.Addr   `json:"gateways"`
	Bridge       string         `json:"bridge,omitempty"`
	Adopted      bool           `json:"adopted,omitempty"`
	Overlap      string         `json:"overlap,omitempty"`
	Isolation    string         `json:"isolation,omitempty"`
	PortSecurity string         `json:"portSecurity,omitempty"`

	DNS    string `json:"dns,omitempty"`
	Domain string `json:"domain,omitempty"`

	DHCP      string               `json:"dhcp,omitempty"`
	LeaseTime uint32               `json:"leaseTime,omitempty"` // seconds
	MTU       int                  `json:"mtu,omitempty"`       // bytes
	NTP       []netip.Addr         `json:"ntp,omitempty"`
	Routes    []routeRecord        `json:"routes,omitempty"`
	Ranges    []addressRangeRecord `json:"ranges,omitempty"`
	Exclude   []addressRangeRecord `json:"exclude,omitempty"`
	PXE       pxeRecord            `json:"pxe,omitzero"`

	metadataRecord
}

type pxeRecord struct {
	NextServer netip.Addr `json:"nextServer,omitzero"`
	ServerName string     `json:"serverName,omitempty"`
	BootFile   string     `json:"bootFile,omitempty"`
}

type routeRecord struct {
	Prefix netip.Prefix `json:"prefix"`
	Via    netip.Addr   `json:"via"`
}

type addressRangeRecord struct {
	Low  netip.Addr `json:"low"`
	High netip.Addr `json:"high"`
}

func networkToRecord(n model.Network) networkRecord {
	return networkRecord{
		metadataRecord: metadataToRecord(n.Metadata),
		Name:           n.Name, ID: n.ID, Type: string(n.Type), NAT: n.NAT, Compartment: n.Compartment,
		Subnets: n.Subnets, Gateways: n.Gateways,
		Bridge: n.Bridge, Adopted: n.Adopted, Overlap: string(n.Overlap), Isolation: string(n.Isolation), PortSecurity: string(n.PortSecurity),
		DNS: string(n.DNS), Domain: n.Domain,
		DHCP: string(n.DHCP), LeaseTime: uint32(n.LeaseTime), MTU: n.MTU, NTP: n.NTP,
		PXE:     pxeRecord(n.PXE),
		Routes:  mapEach(n.Routes, func(r model.Route) routeRecord { return routeRecord(r) }),
		Ranges:  mapEach(n.Ranges, func(r model.AddressRange) addressRangeRecord { return addressRangeRecord(r) }),
		Exclude: mapEach(n.Exclude, func(r model.AddressRange) addressRangeRecord { return addressRangeRecord(r) }),
	}
}

func (r networkRecord) value() model.Network {
	if r.Type == "" {
		r.Type = string(model.TypeOf(r.Compartment, r.Bridge, r.NAT))
	}
	return model.Network{
		Metadata: r.metadata(),
		Name:     r.Name, ID: r.ID, Type: model.NetworkType(r.Type), NAT: r.NAT, Compartment: r.Compartment,
		Subnets: r.Subnets, Gateways: r.Gateways,
		Bridge: r.Bridge, Adopted: r.Adopted, Overlap: model.Overlap(r.Overlap), Isolation: model.Isolation(r.Isolation), PortSecurity: model.Switch(r.PortSecurity),
		DNS: model.Switch(r.DNS), Domain: r.Domain,
		DHCP: model.Switch(r.DHCP), LeaseTime: model.Seconds(r.LeaseTime), MTU: r.MTU, NTP: r.NTP,
		PXE:     model.PXE(r.PXE),
		Routes:  mapEach(r.Routes, func(r routeRecord) model.Route { return model.Route(r) }),
		Ranges:  mapEach(r.Ranges, func(r addressRangeRecord) model.AddressRange { return model.AddressRange(r) }),
		Exclude: mapEach(r.Exclude, func(r addressRangeRecord) model.AddressRange { return model.AddressRange(r) }),
	}
}
