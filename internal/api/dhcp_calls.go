package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

// DHCPLeases lists the leases of a network, or of all if network is "".
func (c *Client) DHCPLeases(ctx context.Context, network string) (l []control.LeaseView, err error) {
	values := url.Values{}
	if network != "" {
		values.Set("network", network)
	}
	err = c.call(ctx, http.MethodGet, "/v1/leases"+encodeQuery(values), nil, &l)
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

// Reservations lists the reserved addresses of all networks.
func (c *Client) Reservations(ctx context.Context) (l []model.Reservation, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/reservations", nil, &l)
	return l, err
}

// AddReservation keeps an address for a client.
func (c *Client) AddReservation(ctx context.Context, spec config.ReservationSpec) (r model.Reservation, err error) {
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

// Pools lists the prefixes that subnets are taken from.
func (c *Client) Pools(ctx context.Context) (l []model.Pool, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/pools", nil, &l)
	return l, err
}

// AddPool adds a prefix that subnets are taken from.
func (c *Client) AddPool(ctx context.Context, spec config.PoolSpec) (p model.Pool, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/pools", spec, &p)
	return p, err
}

// DeletePool deletes a pool.
func (c *Client) DeletePool(ctx context.Context, prefix string) error {
	return c.one(ctx, http.MethodDelete, "/v1/pools/", prefix, "", nil, nil)
}
