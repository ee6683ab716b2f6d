package api

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
)

// Mapping is a static mapping: what is sent to External reaches its targets.
type Mapping struct {
	ID       uint32            `json:"id"` // counts from 1, never reused
	NAT      string            `json:"nat"`
	Network  string            `json:"network"`            // of the targets; comma-joined if those are of several
	Protocol Protocol          `json:"protocol"`           // any: a whole address, External and Internal are without ports
	External string            `json:"external"`           // "A:P", "A:LO-HI", or "A" for all of it; address 0.0.0.0: every address of the host
	Internal string            `json:"internal"`           // "A:P", "A:LO-HI" or "A", comma-joined for several targets; address 0.0.0.0: nothing now
	Endpoint string            `json:"endpoint,omitempty"` // the targets given by name, comma-joined
	Targets  []Target          `json:"targets"`
	From     []netip.Prefix    `json:"from"` // remotes that are let in; empty: all
	Active   bool              `json:"active"`
	Labels   map[string]string `json:"labels,omitempty"` // whatever who made it has noted
	Owner    string            `json:"owner,omitempty"`  // the program that made it; empty: a person

	Advice // in answers to changes
}

// Target is one thing that a mapping leads to.
type Target struct {
	Endpoint string `json:"endpoint,omitempty"` // if given by name: Internal's address follows this endpoint
	Network  string `json:"network"`
	MAC      string `json:"mac,omitempty"` // the client's, if the endpoint is known from a lease
	Internal string `json:"internal"`      // what it resolves to now; address 0.0.0.0: nothing
}

// MappingSpec asks for a static mapping.
type MappingSpec struct {
	NAT      string            `json:"nat,omitempty"`      // empty: the NAT of the target's network
	Protocol string            `json:"protocol"`           // tcp or udp; any: External and Internal are addresses without ports
	External string            `json:"external,omitempty"` // PORTS, A:PORTS or *:PORTS, a port or LO-HI; A or empty: free ones are chosen
	Internal string            `json:"internal"`           // ENDPOINT:PORTS or A:PORTS, several with commas between
	Network  string            `json:"network,omitempty"`  // only needed if several networks hold A
	From     []string          `json:"from,omitempty"`     // prefixes or addresses of remotes; empty: all
	Force    bool              `json:"force,omitempty"`    // take the port even if a program of the host listens there
	Labels   map[string]string `json:"labels,omitempty"`   // whatever who made it has noted
	Owner    string            `json:"owner,omitempty"`    // the program that made it; empty: a person
}

// Mappings lists the static mappings.
func (c *Client) Mappings(ctx context.Context) (l []Mapping, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/mappings", nil, &l)
	return l, err
}

// Mapping returns one static mapping.
func (c *Client) Mapping(ctx context.Context, id uint32) (m Mapping, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/mappings/", number(id), "", nil, &m)
	return m, err
}

// AddMapping publishes a port.
func (c *Client) AddMapping(ctx context.Context, spec MappingSpec) (m Mapping, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/mappings", spec, &m)
	return m, err
}

// DeleteMapping deletes a static mapping.
func (c *Client) DeleteMapping(ctx context.Context, id uint32) error {
	return c.one(ctx, http.MethodDelete, "/v1/mappings/", number(id), "", nil, nil)
}

func number(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
