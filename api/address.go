package api

import (
	"context"
	"net/http"
	"net/netip"
)

// Why a NAT has an external address: Address.Source.
const (
	SourceFixed     = "fixed"     // configured
	SourceInterface = "interface" // it is what the outgoing interface has
	SourceAdded     = "added"     // configured, and added to the host by hostnat
)

// Address is an external address that a NAT uses now.
type Address struct {
	NAT       string     `json:"nat"`
	Address   netip.Addr `json:"address"`
	Ports     string     `json:"ports"`     // "LO-HI[,LO-HI]", from which dynamic ports are taken: the host's ephemeral ones left out
	Interface string     `json:"interface"` // link that holds it; empty: none at the moment
	Source    string     `json:"source"`
}

// AddressSpec asks for an external address.
type AddressSpec struct {
	Address string `json:"address"` // A[:LO-HI]
}

// Addresses lists the external addresses of all NATs.
func (c *Client) Addresses(ctx context.Context) (l []Address, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/addresses", nil, &l)
	return l, err
}

// AddAddress gives a NAT an external address, "A" or "A:LO-HI".
func (c *Client) AddAddress(ctx context.Context, nat, address string) (a Address, err error) {
	err = c.one(ctx, http.MethodPost, "/v1/nats/", nat, "/addresses", AddressSpec{Address: address}, &a)
	return a, err
}

// RemoveAddress takes an external address, or one range "A:LO-HI" of it, from a
// NAT.
func (c *Client) RemoveAddress(ctx context.Context, nat, address string) error {
	suffix, err := at("/addresses/", address)
	if err != nil {
		return err
	}
	return c.one(ctx, http.MethodDelete, "/v1/nats/", nat, suffix, nil, nil)
}
