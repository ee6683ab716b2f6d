package config

import "github.com/hostnat/hostnat/internal/model"

// ProxySpec asks for a port proxy.
type ProxySpec struct {
	Kind          string            // v4tov4, v4tov6, v6tov4, v6tov6 or name
	Protocol      string            // empty: tcp
	Listen        string            // [HOST:]PORT or [HOST:]LO-HI; HOST an address, a name, or *
	Connect       string            // HOST:PORT or HOST:LO-HI; HOST an address, an endpoint or a name; not for kind name
	Routes        []string          // NAME=HOST:PORT, for kind name
	ProxyProtocol bool              // send a PROXY protocol version 2 header
	Transparent   bool              // keep the client's address; for kind name
	Labels        map[string]string // see model.Metadata
	Owner         string
}

// The specs hold what a person typed, as text: parsing and judging it is this
// package's job, so that the command line and the API refuse alike.

// NATSpec asks for a NAT.
type NATSpec struct {
	Name               string
	ExternalInterfaces []string
	ExternalAddresses  []string          // A or A:LO-HI
	Profile            string            // empty: rfc
	Labels             map[string]string // see model.Metadata
	Owner              string
}

// NetworkSpec asks for a network.
type NetworkSpec struct {
	Name         string
	Type         string // nat, internal or per-endpoint; empty: as NAT and Compartment say
	NAT          string // empty: the default NAT; NoNAT: none
	Subnet       string // empty: a free one is chosen
	Gateway      string // empty: the subnet's first address
	Bridge       string // empty: BridgeName(Name)
	Compartment  string // empty: the default compartment
	Adopt        bool   // Bridge exists already and stays
	Domain       string // of the endpoints' names; empty: NAME.internal
	Overlap      string // keep or renumber; empty: keep
	Isolation    string // on, off or endpoint; empty: on
	PortSecurity string // on or off; empty: on

	DHCP      string            // on or off; empty: on
	DNS       string            // on or off; empty: on
	LeaseTime string            // seconds or a duration; empty: an hour
	MTU       string            // bytes, or auto; empty: auto
	NTP       []string          // addresses of time servers
	Ranges    []string          // LO-HI, for DHCP clients; empty: the whole subnet
	Exclude   []string          // LO-HI, never given out unless asked for
	Labels    map[string]string // see model.Metadata
	Owner     string
}

// EndpointSpec asks for an attachment. One of Netns, PID, TAP, Port and Pair
// says to what.
type EndpointSpec struct {
	Network string
	Name    string
	Netns   string // name below /run/netns, or absolute path
	PID     string
	TAP     string // with Netns too: made inside that
	Port    string
	Pair    bool   // a plugin's: PairEnd(Name) is for a container engine to take
	Address string // empty: a free one is chosen
	MAC     string // empty: derived from the address
	IfName  string // empty: DefaultIfName

	// Aliases are further names in DNS. An endpoint that is attached already
	// gets them in place of those it has; none leave it those.
	Aliases []string
	Allow   []string          // further addresses and prefixes; likewise
	Make    model.TAP         // if Made, hostnat makes the TAP
	Labels  map[string]string // see model.Metadata
	Owner   string
}

// ReservationSpec asks for an address to be kept for a client.
type ReservationSpec struct {
	Network string
	MAC     string // one of MAC and Name
	Name    string // of an endpoint, or the hostname that a DHCP client gives
	Address string
	Labels  map[string]string // see model.Metadata
	Owner   string
}

// PoolSpec asks for a prefix from which subnets are taken.
type PoolSpec struct {
	Prefix string
	Size   string // prefix length of the subnets; empty: 24
}

// MappingSpec asks for a static mapping.
type MappingSpec struct {
	NAT      string            // empty: the NAT of the target's network
	Protocol string            // tcp or udp; any: External and Internal are addresses without ports
	External string            // PORTS, A:PORTS or *:PORTS, a port or LO-HI; A or empty: free ones are chosen
	Internal string            // ENDPOINT:PORTS or A:PORTS, several with commas between
	Network  string            // only needed if several networks hold A
	From     []string          // prefixes or addresses of remotes; empty: all
	Force    bool              // take the port even if a program of the host listens there
	Labels   map[string]string // see model.Metadata
	Owner    string
}
