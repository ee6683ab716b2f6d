package config

// ProxySpec asks for a port proxy.
type ProxySpec struct {
	Kind          string            `json:"kind"`                    // v4tov4, v4tov6, v6tov4, v6tov6 or name
	Protocol      string            `json:"protocol,omitempty"`      // empty: tcp
	Listen        string            `json:"listen"`                  // [HOST:]PORT or [HOST:]LO-HI; HOST an address, a name, or *
	Connect       string            `json:"connect,omitempty"`       // HOST:PORT or HOST:LO-HI; HOST an address, an endpoint or a name; not for kind name
	Routes        []string          `json:"routes,omitempty"`        // NAME=HOST:PORT, for kind name
	ProxyProtocol bool              `json:"proxyProtocol,omitempty"` // send a PROXY protocol version 2 header
	Transparent   bool              `json:"transparent,omitempty"`   // keep the client's address; for kind name
	Labels        map[string]string `json:"labels,omitempty"`        // see model.Metadata
	Owner         string            `json:"owner,omitempty"`
}

// The specs hold what a person typed, as text: parsing and judging it is this
// package's job, so that the command line and the API refuse alike.

// NATSpec asks for a NAT.
type NATSpec struct {
	Name               string            `json:"name"`
	ExternalInterfaces []string          `json:"externalInterfaces,omitempty"`
	ExternalAddresses  []string          `json:"externalAddresses,omitempty"` // A or A:LO-HI
	Profile            string            `json:"profile,omitempty"`           // empty: rfc
	Labels             map[string]string `json:"labels,omitempty"`            // see model.Metadata
	Owner              string            `json:"owner,omitempty"`
}

// NetworkSpec asks for a network.
type NetworkSpec struct {
	Name         string `json:"name"`
	Type         string `json:"type,omitempty"`         // nat, internal or per-endpoint; empty: as NAT and Compartment say
	NAT          string `json:"nat,omitempty"`          // empty: the default NAT; NoNAT: none
	Subnet       string `json:"subnet,omitempty"`       // empty: a free one is chosen
	Gateway      string `json:"gateway,omitempty"`      // empty: the subnet's first address
	Bridge       string `json:"bridge,omitempty"`       // empty: BridgeName(Name)
	Compartment  string `json:"compartment,omitempty"`  // empty: the default compartment
	Adopt        bool   `json:"adopt,omitempty"`        // Bridge exists already and stays
	Domain       string `json:"domain,omitempty"`       // of the endpoints' names; empty: NAME.internal
	Overlap      string `json:"overlap,omitempty"`      // keep or renumber; empty: keep
	Isolation    string `json:"isolation,omitempty"`    // on, off or endpoint; empty: on
	PortSecurity string `json:"portSecurity,omitempty"` // on or off; empty: on

	DHCP      string            `json:"dhcp,omitempty"`      // on or off; empty: on
	DNS       string            `json:"dns,omitempty"`       // on or off; empty: on
	LeaseTime string            `json:"leaseTime,omitempty"` // seconds or a duration; empty: an hour
	MTU       string            `json:"mtu,omitempty"`       // bytes, or auto; empty: auto
	NTP       []string          `json:"ntp,omitempty"`       // addresses of time servers
	Ranges    []string          `json:"ranges,omitempty"`    // LO-HI, for DHCP clients; empty: the whole subnet
	Exclude   []string          `json:"exclude,omitempty"`   // LO-HI, never given out unless asked for
	Labels    map[string]string `json:"labels,omitempty"`    // see model.Metadata
	Owner     string            `json:"owner,omitempty"`
}

// EndpointSpec asks for an attachment. Exactly one of Netns, PID, TAP and Port
// says to what.
type EndpointSpec struct {
	Network string `json:"network"`
	Name    string `json:"name"`
	Netns   string `json:"netns,omitempty"` // name below /run/netns, or absolute path
	PID     string `json:"pid,omitempty"`
	TAP     string `json:"tap,omitempty"`
	Port    string `json:"port,omitempty"`
	Address string `json:"address,omitempty"` // empty: a free one is chosen
	MAC     string `json:"mac,omitempty"`     // empty: derived from the address
	IfName  string `json:"ifname,omitempty"`  // empty: DefaultIfName

	// Aliases are further names in DNS. An endpoint that is attached already
	// gets them in place of those it has; none leave it those.
	Aliases []string          `json:"aliases,omitempty"`
	Allow   []string          `json:"allow,omitempty"`  // further addresses and prefixes; likewise
	Labels  map[string]string `json:"labels,omitempty"` // see model.Metadata
	Owner   string            `json:"owner,omitempty"`
}

// ReservationSpec asks for an address to be kept for a client.
type ReservationSpec struct {
	Network string            `json:"network"`
	MAC     string            `json:"mac,omitempty"`  // one of MAC and Name
	Name    string            `json:"name,omitempty"` // of an endpoint, or the hostname that a DHCP client gives
	Address string            `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"` // see model.Metadata
	Owner   string            `json:"owner,omitempty"`
}

// PoolSpec asks for a prefix from which subnets are taken.
type PoolSpec struct {
	Prefix string `json:"prefix"`
	Size   string `json:"size,omitempty"` // prefix length of the subnets; empty: 24
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
	Labels   map[string]string `json:"labels,omitempty"`   // see model.Metadata
	Owner    string            `json:"owner,omitempty"`
}
