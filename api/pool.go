package api

import (
	"context"
	"net/http"
	"net/netip"
)

// Pool is where subnets are taken from for networks that name none.
type Pool struct {
	Prefix netip.Prefix `json:"prefix"`
	Size   int          `json:"size"` // prefix length of the subnets
}

// PoolSpec asks for a prefix from which subnets are taken.
type PoolSpec struct {
	Prefix string `json:"prefix"`
	Size   string `json:"size,omitempty"` // prefix length of the subnets; empty: 24
}

// Pools lists the prefixes that subnets are taken from.
func (c *Client) Pools(ctx context.Context) (l []Pool, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/pools", nil, &l)
	return l, err
}

// AddPool adds a prefix that subnets are taken from.
func (c *Client) AddPool(ctx context.Context, spec PoolSpec) (p Pool, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/pools", spec, &p)
	return p, err
}

// DeletePool deletes a pool.
func (c *Client) DeletePool(ctx context.Context, prefix string) error {
	return c.one(ctx, http.MethodDelete, "/v1/pools/", prefix, "", nil, nil)
}
