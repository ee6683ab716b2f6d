package nat

// The specs hold what a person typed, as text: parsing and judging it is this
// package's job, so that the command line and the API refuse alike.

// NATSpec asks for a NAT.
type NATSpec struct {
	Name               string   `json:"name"`
	ExternalInterfaces []string `json:"externalInterfaces,omitempty"`
	ExternalAddresses  []string `json:"externalAddresses,omitempty"` // A or A:LO-HI
	Profile            string   `json:"profile,omitempty"`           // empty: rfc
}

// NetworkSpec asks for a network.
type NetworkSpec struct {
	Name        string `json:"name"`
	NAT         string `json:"nat,omitempty"`         // empty: the default NAT
	Subnet      string `json:"subnet,omitempty"`      // empty: a free one is chosen
	Gateway     string `json:"gateway,omitempty"`     // empty: the subnet's first address
	Bridge      string `json:"bridge,omitempty"`      // empty: BridgeName(Name)
	Compartment string `json:"compartment,omitempty"` // empty: the default compartment
	Adopt       bool   `json:"adopt,omitempty"`       // Bridge exists already and stays
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
}

// MappingSpec asks for a static mapping.
type MappingSpec struct {
	NAT      string   `json:"nat,omitempty"` // empty: the NAT of the target's network
	Protocol string   `json:"protocol"`
	External string   `json:"external,omitempty"` // PORT, A:PORT or *:PORT; A or empty: a free port is chosen
	Internal string   `json:"internal"`           // ENDPOINT:PORT or A:PORT
	Network  string   `json:"network,omitempty"`  // only needed if several networks hold A
	From     []string `json:"from,omitempty"`     // prefixes or addresses of remotes; empty: all
	Force    bool     `json:"force,omitempty"`    // take the port even if a program of the host listens there
}
