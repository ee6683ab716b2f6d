package store

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// endpointRecord is an endpoint as it is stored.
type endpointRecord struct {
	Name      string         `json:"name"`
	ID        uint32         `json:"id"`
	Network   string         `json:"network"`
	Addresses []netip.Addr   `json:"addresses"`
	MAC       string         `json:"mac"`
	Kind      string         `json:"kind"`
	Target    string         `json:"target"`
	Interface string         `json:"interface"`
	IfName    string         `json:"ifname,omitempty"`
	Aliases   []string       `json:"aliases,omitempty"`
	Allow     []netip.Prefix `json:"allow,omitempty"`
	TAP       *tapRecord     `json:"tap,omitempty"` // that hostnat makes
	metadataRecord
}

// tapRecord is a TAP that hostnat makes.
type tapRecord struct {
	User    string `json:"user,omitempty"`
	Group   string `json:"group,omitempty"`
	Queues  int    `json:"queues,omitempty"`
	VNetHdr bool   `json:"vnetHdr,omitempty"`
}

func tapToRecord(t model.TAP) *tapRecord {
	if !t.Made {
		return nil
	}
	return &tapRecord{User: t.User, Group: t.Group, Queues: t.Queues, VNetHdr: t.VNetHdr}
}

func (r *tapRecord) value() model.TAP {
	if r == nil {
		return model.TAP{}
	}
	return model.TAP{Made: true, User: r.User, Group: r.Group, Queues: r.Queues, VNetHdr: r.VNetHdr}
}

func endpointToRecord(e model.Endpoint) endpointRecord {
	return endpointRecord{
		metadataRecord: metadataToRecord(e.Metadata),
		Name:           e.Name, ID: e.ID, Network: e.Network, Addresses: e.Addresses, MAC: string(e.MAC),
		Kind: string(e.Kind), Target: e.Target, Interface: e.Interface, IfName: e.IfName, Aliases: e.Aliases, Allow: e.Allow, TAP: tapToRecord(e.TAP),
	}
}

func (r endpointRecord) value() model.Endpoint {
	return model.Endpoint{
		Metadata: r.metadata(),
		Name:     r.Name, ID: r.ID, Network: r.Network, Addresses: r.Addresses, MAC: model.MAC(r.MAC),
		Kind: model.EndpointKind(r.Kind), Target: r.Target, Interface: r.Interface, IfName: r.IfName, Aliases: r.Aliases, Allow: r.Allow, TAP: r.TAP.value(),
	}
}
