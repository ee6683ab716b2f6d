package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
)

// What has ports: Port.Kind.
const (
	PortOfMapping  = "mapping"
	PortOfProxy    = "proxy"     // a port proxy listens, or will
	PortOfListener = "listener"  // a program of the host: TCP listening, UDP bound
	PortsDynamic   = "dynamic"   // those that a NAT gives out, on one of its addresses
	PortsEphemeral = "ephemeral" // from which the host itself talks
)

// Port is one external port, or several with one owner.
type Port struct {
	Protocol Protocol   `json:"protocol"`
	Address  netip.Addr `json:"address"` // 0.0.0.0 or :: for every address of the host
	Ports    string     `json:"ports"`   // "8080", "LO-HI[,LO-HI]"; for ICMP query identifiers
	Kind     string     `json:"kind"`
	Owner    string     `json:"owner"`           // "c1:80 (mapping 1)", "nginx (pid 41)", "NAT default", "the host"
	Count    int        `json:"count"`           // how many ports these are
	InUse    *int       `json:"inUse,omitempty"` // how many of them are taken; left out for ephemeral ones, which hostnat does not count
}

// PortFilter selects ports; an empty field selects all.
type PortFilter struct {
	Protocol string
	Ports    string // PORT or LO-HI: only whoever has one of these
}

// Ports lists who has which external port.
func (c *Client) Ports(ctx context.Context, filter PortFilter) (l []Port, err error) {
	values := url.Values{}
	if filter.Protocol != "" {
		values.Set("protocol", filter.Protocol)
	}
	if filter.Ports != "" {
		values.Set("ports", filter.Ports)
	}
	err = c.call(ctx, http.MethodGet, "/v1/ports"+encodeQuery(values), nil, &l)
	return l, err
}
