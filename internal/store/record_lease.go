package store

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// leaseRecord is a DHCP lease as it is stored.
type leaseRecord struct {
	Network  string     `json:"network"`
	Address  netip.Addr `json:"address"`
	MAC      string     `json:"mac"`
	ClientID string     `json:"clientId,omitempty"` // in hexadecimal
	Hostname string     `json:"hostname,omitempty"`
	State    string     `json:"state"`
	Since    time.Time  `json:"since"`
	Expires  time.Time  `json:"expires"`
}

func leaseToRecord(l model.Lease) leaseRecord {
	return leaseRecord{
		Network: l.Network, Address: l.Address, MAC: string(l.MAC), ClientID: l.ClientID,
		Hostname: l.Hostname, State: string(l.State), Since: l.Since, Expires: l.Expires,
	}
}

func (r leaseRecord) value() model.Lease {
	return model.Lease{
		Network: r.Network, Address: r.Address, MAC: model.MAC(r.MAC), ClientID: r.ClientID,
		Hostname: r.Hostname, State: model.LeaseState(r.State), Since: r.Since, Expires: r.Expires,
	}
}
