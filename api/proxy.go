package api

import (
	"context"
	"net/http"
	"time"
)

// The kinds of port proxies: Proxy.Kind.
const (
	V4ToV4 = "v4tov4"
	V4ToV6 = "v4tov6"
	V6ToV4 = "v6tov4"
	V6ToV6 = "v6tov6"
	ByName = "name" // the client names the host it wants: TLS server name or HTTP Host
)

// Proxy is a relay at the socket level: who connects to Listen talks to Connect.
// What it does is counted since the daemon started.
type Proxy struct {
	ID            uint32       `json:"id"` // counts from 1, never reused
	Kind          string       `json:"kind"`
	Protocol      Protocol     `json:"protocol"`          // tcp or udp
	Listen        string       `json:"listen"`            // HOST:P or HOST:LO-HI; HOST "*": every address of the host
	Connect       string       `json:"connect,omitempty"` // HOST:P or HOST:LO-HI, as many ports as Listen; not of kind name
	Routes        []ProxyRoute `json:"routes,omitempty"`  // of kind name only
	ProxyProtocol bool         `json:"proxyProtocol"`     // the server is told who the client is, by a PROXY protocol version 2 header
	Transparent   bool         `json:"transparent"`       // the connection to the server has the client's address as its source

	Listening        bool              `json:"listening"`         // on all of its ports
	Problem          string            `json:"problem,omitempty"` // what keeps it from working now
	Connections      uint64            `json:"connections"`       // at the moment; UDP: clients heard of in the last minutes
	TotalConnections uint64            `json:"totalConnections"`
	Refused          uint64            `json:"refused"`  // connections and UDP clients for which there was no place
	GaveWay          uint64            `json:"gaveWay"`  // those that were ended so that others have one
	BytesIn          uint64            `json:"bytesIn"`  // from clients to servers
	BytesOut         uint64            `json:"bytesOut"` // from servers to clients
	LastError        string            `json:"lastError,omitempty"`
	LastErrorAt      *time.Time        `json:"lastErrorAt,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"` // whatever who made it has noted
	Owner            string            `json:"owner,omitempty"`  // the program that made it; empty: a person

	Advice // in answers to changes
}

// ProxyRoute is where a proxy of kind name sends those who ask for a name.
type ProxyRoute struct {
	Pattern string `json:"pattern"` // "www.a.example", "*.b.example"; "*" for everything else
	Connect string `json:"connect"` // HOST:P
}

// ProxySpec asks for a port proxy.
type ProxySpec struct {
	Kind          string            `json:"kind"`
	Protocol      string            `json:"protocol,omitempty"`      // empty: tcp
	Listen        string            `json:"listen"`                  // [HOST:]PORT or [HOST:]LO-HI; HOST an address, a name, or *
	Connect       string            `json:"connect,omitempty"`       // HOST:PORT or HOST:LO-HI; HOST an address, an endpoint or a name; not for kind name
	Routes        []string          `json:"routes,omitempty"`        // NAME=HOST:PORT, for kind name
	ProxyProtocol bool              `json:"proxyProtocol,omitempty"` // send a PROXY protocol version 2 header
	Transparent   bool              `json:"transparent,omitempty"`   // keep the client's address; for kind name
	Labels        map[string]string `json:"labels,omitempty"`        // whatever who made it has noted
	Owner         string            `json:"owner,omitempty"`         // the program that made it; empty: a person
}

// Proxies lists the port proxies.
func (c *Client) Proxies(ctx context.Context) (l []Proxy, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/proxies", nil, &l)
	return l, err
}

// AddProxy adds a port proxy.
func (c *Client) AddProxy(ctx context.Context, spec ProxySpec) (p Proxy, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/proxies", spec, &p)
	return p, err
}

// DeleteProxy deletes a port proxy and ends its connections.
func (c *Client) DeleteProxy(ctx context.Context, id uint32) error {
	return c.one(ctx, http.MethodDelete, "/v1/proxies/", number(id), "", nil, nil)
}
