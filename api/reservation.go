package api

import (
	"context"
	"net/http"
	"net/netip"
)

// Reservation keeps an address of a network for one client, known by MAC or Name.
type Reservation struct {
	Network string            `json:"network"`
	MAC     string            `json:"mac,omitempty"`
	Name    string            `json:"name,omitempty"` // of an endpoint, or the hostname that a DHCP client gives
	Address netip.Addr        `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"` // whatever who made it has noted
	Owner   string            `json:"owner,omitempty"`  // the program that made it; empty: a person

	Advice // in answers to changes
}

// ReservationSpec asks for an address to be kept for a client.
type ReservationSpec struct {
	Network string            `json:"network"`
	MAC     string            `json:"mac,omitempty"`  // one of MAC and Name
	Name    string            `json:"name,omitempty"` // of an endpoint, or the hostname that a DHCP client gives
	Address string            `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"` // whatever who made it has noted
	Owner   string            `json:"owner,omitempty"`  // the program that made it; empty: a person
}

// Reservations lists the reserved addresses of all networks.
func (c *Client) Reservations(ctx context.Context) (l []Reservation, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/reservations", nil, &l)
	return l, err
}

// AddReservation keeps an address for a client.
func (c *Client) AddReservation(ctx context.Context, spec ReservationSpec) (r Reservation, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/reservations", spec, &r)
	return r, err
}

// DeleteReservation gives a reserved address back.
func (c *Client) DeleteReservation(ctx context.Context, network, address string) error {
	suffix, err := at("/reservations/", address)
	if err != nil {
		return err
	}
	return c.one(ctx, http.MethodDelete, "/v1/networks/", network, suffix, nil, nil)
}
