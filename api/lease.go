package api

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// The states of a lease: Lease.State. One that is expired or released is kept:
// the client gets the same address when it comes back, unless others need it.
const (
	LeaseOffered  = "offered"
	LeaseBound    = "bound"    // the client uses it
	LeaseExpired  = "expired"  // was not renewed
	LeaseReleased = "released" // the client gave it back
	LeaseDeclined = "declined" // somebody else uses it, said the client
)

// Lease is an address that a network's DHCP server has given to a client, or
// keeps from everybody.
type Lease struct {
	Network  string     `json:"network"`
	Address  netip.Addr `json:"address"`
	MAC      string     `json:"mac"`
	ClientID string     `json:"clientId"` // option 61 in hexadecimal; empty: the client sent none
	Hostname string     `json:"hostname"` // what the client calls itself; empty: nothing of use
	State    string     `json:"state"`
	Since    time.Time  `json:"since"`    // when this client first got this address
	Expires  time.Time  `json:"expires"`  // of a declined one: when it may be given out again
	Endpoint string     `json:"endpoint"` // that has the address now; empty: none
}

// Holds reports whether the address may not be given to anybody else now.
func (l Lease) Holds(now time.Time) bool {
	switch l.State {
	case LeaseBound, LeaseOffered, LeaseDeclined:
		return now.Before(l.Expires)
	}
	return false
}

// Leases lists the DHCP leases of a network, or of all if network is "".
func (c *Client) Leases(ctx context.Context, network string) (l []Lease, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/leases"+ofNetwork(network), nil, &l)
	return l, err
}

// DeleteLease drops a lease.
func (c *Client) DeleteLease(ctx context.Context, network, address string) error {
	suffix, err := at("/leases/", address)
	if err != nil {
		return err
	}
	return c.one(ctx, http.MethodDelete, "/v1/networks/", network, suffix, nil, nil)
}
