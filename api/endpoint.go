package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
)

// The states of an endpoint: Endpoint.State.
const (
	EndpointUp     = "up"
	EndpointAbsent = "absent" // its namespace, process or link is not there at the moment
	EndpointIdle   = "idle"   // its TAP is there, and no program has it open
)

// What an endpoint's attachment is: Endpoint.Kind.
const (
	KindNetns = "netns" // veth into a namespace given by name or path
	KindPID   = "pid"   // veth into the namespace of a process
	KindTAP   = "tap"   // a TAP link that a VM monitor holds
	KindPort  = "port"  // any other link of the host
	KindPair  = "pair"  // veth whose other end, Target, lies on the host until a container engine takes it
)

// Endpoint is one VM's or container's attachment to a network.
type Endpoint struct {
	Name      string            `json:"name"` // unique on the host
	ID        uint32            `json:"id"`   // stable over restarts; 0 if it is not managed
	Network   string            `json:"network"`
	Addresses []netip.Addr      `json:"addresses"`
	Subnets   []netip.Prefix    `json:"subnets"`  // that of each address, in their order
	Gateways  []netip.Addr      `json:"gateways"` // the host's address in each of these
	MAC       string            `json:"mac"`
	Kind      string            `json:"kind"`
	Target    string            `json:"target"`            // namespace name or path, process id, or link name, by Kind
	Interface string            `json:"interface"`         // link on the host's side
	IfName    string            `json:"ifname"`            // link inside the namespace, a TAP's too that hostnat makes there; empty for TAP and port
	Aliases   []string          `json:"aliases,omitempty"` // further names in DNS
	Allow     []netip.Prefix    `json:"allow,omitempty"`   // that it may send from and is reached at beside its addresses; 0.0.0.0/0: it forwards for its neighbours
	Create    bool              `json:"create,omitempty"`  // hostnat makes the TAP, Target or, inside a namespace, IfName
	User      string            `json:"user,omitempty"`    // who may open that TAP: name or number
	Group     string            `json:"group,omitempty"`   // likewise
	Queues    int               `json:"queues,omitempty"`  // of that TAP; 0: one
	VNetHdr   bool              `json:"vnetHdr,omitempty"` // of that TAP
	MTU       int               `json:"mtu"`               // bytes
	State     string            `json:"state"`
	Managed   bool              `json:"managed"`             // attached by hostnat; else known from a DHCP lease or from traffic
	DNS       []netip.Addr      `json:"dns,omitempty"`       // name servers to configure inside; none: the network has none
	Domain    string            `json:"domain,omitempty"`    // to search in; empty like DNS
	Configure []string          `json:"configure,omitempty"` // what a person has to set inside a VM
	Labels    map[string]string `json:"labels,omitempty"`    // whatever who made it has noted
	Owner     string            `json:"owner,omitempty"`     // the program that made it; empty: a person

	Advice // in answers to changes
}

// InNamespace reports whether hostnat made the endpoint's veth pair itself.
func (e Endpoint) InNamespace() bool { return e.Kind == KindNetns || e.Kind == KindPID }

// EndpointSpec asks for an attachment. One of Netns, PID, TAP, Port and Pair says to
// what; Netns and TAP may stand together with Create.
type EndpointSpec struct {
	Network   string   `json:"network"`
	Name      string   `json:"name"`
	Netns     string   `json:"netns,omitempty"` // name below /run/netns, or absolute path
	PID       string   `json:"pid,omitempty"`
	TAP       string   `json:"tap,omitempty"`
	Create    bool     `json:"create,omitempty"`  // make the TAP, and delete it with the endpoint; with Netns, inside that
	User      string   `json:"user,omitempty"`    // who may open the TAP that is made: name or number; empty: root alone
	Group     string   `json:"group,omitempty"`   // likewise
	Queues    int      `json:"queues,omitempty"`  // of the TAP that is made; 0: one
	VNetHdr   bool     `json:"vnetHdr,omitempty"` // of the TAP that is made: frames have a virtio header unless who opens it says otherwise
	Port      string   `json:"port,omitempty"`
	Pair      bool     `json:"pair,omitempty"`      // for plugins of container engines: make a veth pair, and leave the other end on the host, down, for the engine to take
	Addresses []string `json:"addresses,omitempty"` // empty: free ones are chosen
	MAC       string   `json:"mac,omitempty"`       // empty: derived from the address
	IfName    string   `json:"ifname,omitempty"`    // empty: eth0

	// Aliases are further names in DNS. An endpoint that is attached already
	// gets them in place of those it has; none leave it those.
	Aliases []string          `json:"aliases,omitempty"`
	Allow   []string          `json:"allow,omitempty"`  // further addresses and prefixes that it may send from and is reached at; likewise
	Labels  map[string]string `json:"labels,omitempty"` // whatever who made it has noted
	Owner   string            `json:"owner,omitempty"`  // the program that made it; empty: a person
}

// Endpoints lists the endpoints of a network, or of all if network is "".
func (c *Client) Endpoints(ctx context.Context, network string) (l []Endpoint, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/endpoints"+ofNetwork(network), nil, &l)
	return l, err
}

// Endpoint returns one endpoint.
func (c *Client) Endpoint(ctx context.Context, name string) (e Endpoint, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/endpoints/", name, "", nil, &e)
	return e, err
}

// AttachEndpoint attaches a VM or container to a network.
func (c *Client) AttachEndpoint(ctx context.Context, spec EndpointSpec) (e Endpoint, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/endpoints", spec, &e)
	return e, err
}

// SetEndpoint changes settings of an endpoint: all of them or, if one is refused, none.
func (c *Client) SetEndpoint(ctx context.Context, name string, settings map[string]string) (e Endpoint, err error) {
	err = c.one(ctx, http.MethodPatch, "/v1/endpoints/", name, "", Settings{Settings: settings}, &e)
	return e, err
}

// DetachEndpoint detaches an endpoint.
func (c *Client) DetachEndpoint(ctx context.Context, name string) error {
	return c.one(ctx, http.MethodDelete, "/v1/endpoints/", name, "", nil, nil)
}

func ofNetwork(name string) string {
	values := url.Values{}
	if name != "" {
		values.Set("network", name)
	}
	return encodeQuery(values)
}
