package api

import (
	"context"
	"net/http"
	"net/netip"
)

// NAT is one translator: its outside, its timeouts and its filtering. With
// neither ExternalInterfaces nor ExternalAddresses it follows the address of
// whichever interface the host's routes choose.
type NAT struct {
	Name               string            `json:"name"`
	ID                 uint32            `json:"id"` // stable over restarts, never 0
	ExternalInterfaces []string          `json:"externalInterfaces"`
	ExternalAddresses  []ExternalAddress `json:"externalAddresses"`
	Profile            string            `json:"profile"` // rfc or winnat
	Timeouts           Timeouts          `json:"timeouts"`
	TCPFiltering       string            `json:"tcpFiltering"` // endpoint-independent, address-dependent, address-and-port-dependent
	UDPFiltering       string            `json:"udpFiltering"`
	UDPInboundRefresh  bool              `json:"udpInboundRefresh"`
	Pooling            string            `json:"pooling"`           // paired or arbitrary
	EndpointDependent  bool              `json:"endpointDependent"` // go on with endpoint-dependent mapping when a range is used up
	HoldDown           uint32            `json:"holdDown"`          // seconds for which a freed port is given to nobody
	Limits             Limits            `json:"limits"`
	MSSClamp           bool              `json:"mssClamp"`
	Exhaustion         string            `json:"exhaustion"`       // prohibited, unreachable or silent
	LinkLocal          string            `json:"linkLocal"`        // whether endpoints reach 169.254.0.0/16 outside: refuse or allow
	Table              uint32            `json:"table"`            // the routing table by which everything leaves; 0: the host's rules decide
	Labels             map[string]string `json:"labels,omitempty"` // whatever who made it has noted
	Owner              string            `json:"owner,omitempty"`  // the program that made it; empty: a person

	Advice // in answers to changes
}

// ExternalAddress is an address and the dynamic ports that a NAT may use on it.
type ExternalAddress struct {
	Address netip.Addr `json:"address"`
	Ports   PortRange  `json:"ports"`
	Added   bool       `json:"added,omitempty"` // the host did not have it: hostnat puts it on an interface
}

// PortRange is an inclusive range of ports, 1 to 65535.
type PortRange struct {
	Low  uint16 `json:"low"`
	High uint16 `json:"high"`
}

// Timeouts are idle lifetimes in seconds.
type Timeouts struct {
	UDP            uint32 `json:"udp"`
	TCPEstablished uint32 `json:"tcpEstablished"`
	TCPTransitory  uint32 `json:"tcpTransitory"` // opening and closing
	ICMP           uint32 `json:"icmp"`
}

// Limits are what one endpoint may have at a time. 0: no limit.
type Limits struct {
	Sessions uint32 `json:"sessions"`
	Ports    uint32 `json:"ports"` // external ports, all protocols together
	Rate     uint32 `json:"rate"`  // new sessions a second
}

// NATSpec asks for a NAT.
type NATSpec struct {
	Name               string            `json:"name"`
	ExternalInterfaces []string          `json:"externalInterfaces,omitempty"`
	ExternalAddresses  []string          `json:"externalAddresses,omitempty"` // A or A:LO-HI
	Profile            string            `json:"profile,omitempty"`           // empty: rfc
	Labels             map[string]string `json:"labels,omitempty"`            // whatever who made it has noted
	Owner              string            `json:"owner,omitempty"`             // the program that made it; empty: a person
}

// Settings is the body of a PATCH: keys and values as `set KEY=VALUE` takes them.
type Settings struct {
	Settings map[string]string `json:"settings"`
}

// NATs lists the NATs.
func (c *Client) NATs(ctx context.Context) (l []NAT, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/nats", nil, &l)
	return l, err
}

// NAT returns one NAT.
func (c *Client) NAT(ctx context.Context, name string) (n NAT, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/nats/", name, "", nil, &n)
	return n, err
}

// CreateNAT creates a NAT.
func (c *Client) CreateNAT(ctx context.Context, spec NATSpec) (n NAT, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/nats", spec, &n)
	return n, err
}

// SetNAT changes settings of a NAT: all of them or, if one is refused, none.
func (c *Client) SetNAT(ctx context.Context, name string, settings map[string]string) (n NAT, err error) {
	err = c.one(ctx, http.MethodPatch, "/v1/nats/", name, "", Settings{Settings: settings}, &n)
	return n, err
}

// DeleteNAT deletes a NAT.
func (c *Client) DeleteNAT(ctx context.Context, name string) error {
	return c.one(ctx, http.MethodDelete, "/v1/nats/", name, "", nil, nil)
}
