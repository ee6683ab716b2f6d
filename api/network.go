package api

import (
	"context"
	"net/http"
	"net/netip"
)

// The types of networks: Network.Type.
const (
	NATNetwork         = "nat"          // behind a NAT
	InternalNetwork    = "internal"     // behind none: its endpoints do not reach the outside
	PerEndpointNetwork = "per-endpoint" // no switch: each endpoint is in a compartment of its own
)

// Network is one internal layer-2 segment: a switch, subnets, and the host's
// gateway addresses on it.
type Network struct {
	Name         string         `json:"name"`
	Type         string         `json:"type"`
	ID           uint32         `json:"id"`  // stable over restarts, never 0
	NAT          string         `json:"nat"` // "none": it is behind none
	Compartment  string         `json:"compartment"`
	Subnets      []netip.Prefix `json:"subnets"`
	Gateways     []netip.Addr   `json:"gateways"`     // the host's address in each of Subnets, in their order
	Bridge       string         `json:"bridge"`       // link that is the switch; empty: there is none
	Adopted      bool           `json:"adopted"`      // the bridge was there before and stays after
	Overlap      string         `json:"overlap"`      // keep or renumber: what to do when the host's own network comes to overlap
	Isolation    string         `json:"isolation"`    // on, off or endpoint: whom its endpoints reach
	PortSecurity string         `json:"portSecurity"` // on or off: whether what other tools plug into its bridge is checked
	DNS          string         `json:"dns"`          // on or off: whether the gateway answers for names
	Domain       string         `json:"domain"`       // that the endpoints' names are in

	DHCP      string            `json:"dhcp"`              // on or off: whether clients get addresses from the gateway
	LeaseTime uint32            `json:"leaseTime"`         // seconds
	MTU       int               `json:"mtu"`               // bytes; 0: that of the outgoing interface
	NTP       []netip.Addr      `json:"ntp,omitempty"`     // time servers that DHCP tells
	PXE       PXE               `json:"pxe,omitzero"`      // what machines are told that boot from the network
	Routes    []string          `json:"routes,omitempty"`  // PREFIX=GATEWAY, that DHCP tells beside the default route
	Ranges    []string          `json:"ranges,omitempty"`  // LO-HI for DHCP clients; none: the whole subnet
	Exclude   []string          `json:"exclude,omitempty"` // LO-HI, never given out unless asked for
	Labels    map[string]string `json:"labels,omitempty"`  // whatever who made it has noted
	Owner     string            `json:"owner,omitempty"`   // the program that made it; empty: a person

	Advice // in answers to changes
}

// PXE is what DHCP tells a machine that boots from the network.
type PXE struct {
	NextServer netip.Addr `json:"nextServer,omitzero"`  // where the boot file is; not valid: the gateway
	ServerName string     `json:"serverName,omitempty"` // of the TFTP server, option 66; empty: NextServer's address
	BootFile   string     `json:"bootFile,omitempty"`   // option 67
}

// NetworkSpec asks for a network.
type NetworkSpec struct {
	Name         string   `json:"name"`
	Type         string   `json:"type,omitempty"`         // nat, internal or per-endpoint; empty: as NAT and Compartment say
	NAT          string   `json:"nat,omitempty"`          // empty: the default NAT; none: none
	Subnets      []string `json:"subnets,omitempty"`      // empty: a free one is chosen
	Gateways     []string `json:"gateways,omitempty"`     // empty: each subnet's first address
	Bridge       string   `json:"bridge,omitempty"`       // empty: one of our own
	Compartment  string   `json:"compartment,omitempty"`  // empty: the default compartment
	Adopt        bool     `json:"adopt,omitempty"`        // Bridge exists already and stays
	Domain       string   `json:"domain,omitempty"`       // empty: NAME.internal
	Overlap      string   `json:"overlap,omitempty"`      // keep or renumber; empty: keep
	Isolation    string   `json:"isolation,omitempty"`    // on, off or endpoint; empty: on
	PortSecurity string   `json:"portSecurity,omitempty"` // on or off; empty: on

	DHCP      string            `json:"dhcp,omitempty"`      // on or off; empty: on
	DNS       string            `json:"dns,omitempty"`       // on or off; empty: on
	LeaseTime string            `json:"leaseTime,omitempty"` // seconds or a duration; empty: an hour
	MTU       string            `json:"mtu,omitempty"`       // bytes, or auto; empty: auto
	NTP       []string          `json:"ntp,omitempty"`       // addresses of time servers
	Ranges    []string          `json:"ranges,omitempty"`    // LO-HI, for DHCP clients; empty: the whole subnet
	Exclude   []string          `json:"exclude,omitempty"`   // LO-HI, never given out unless asked for
	Labels    map[string]string `json:"labels,omitempty"`    // whatever who made it has noted
	Owner     string            `json:"owner,omitempty"`     // the program that made it; empty: a person
}

// RenumberSpec asks for a network to move.
type RenumberSpec struct {
	Subnet string `json:"subnet,omitempty"` // empty: a free one is chosen
}

// Renumbering says where a network moved.
type Renumbering struct {
	Network string       `json:"network"`
	From    netip.Prefix `json:"from"`
	To      netip.Prefix `json:"to"`

	Advice // in answers to changes
}

// Networks lists the networks.
func (c *Client) Networks(ctx context.Context) (l []Network, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/networks", nil, &l)
	return l, err
}

// Network returns one network.
func (c *Client) Network(ctx context.Context, name string) (n Network, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/networks/", name, "", nil, &n)
	return n, err
}

// CreateNetwork creates a network.
func (c *Client) CreateNetwork(ctx context.Context, spec NetworkSpec) (n Network, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/networks", spec, &n)
	return n, err
}

// DeleteNetwork deletes a network; with force, its endpoints and mappings too.
func (c *Client) DeleteNetwork(ctx context.Context, name string, force bool) error {
	suffix := ""
	if force {
		suffix = "?force=true"
	}
	return c.one(ctx, http.MethodDelete, "/v1/networks/", name, suffix, nil, nil)
}

// SetNetwork changes settings of a network: all of them or, if one is refused, none.
func (c *Client) SetNetwork(ctx context.Context, name string, settings map[string]string) (n Network, err error) {
	err = c.one(ctx, http.MethodPatch, "/v1/networks/", name, "", Settings{Settings: settings}, &n)
	return n, err
}

// RenumberNetwork moves a network to another subnet, to a free one if subnet is "".
func (c *Client) RenumberNetwork(ctx context.Context, name, subnet string) (r Renumbering, err error) {
	err = c.one(ctx, http.MethodPost, "/v1/networks/", name, "/renumber", RenumberSpec{Subnet: subnet}, &r)
	return r, err
}
