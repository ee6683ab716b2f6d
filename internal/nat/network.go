package nat

import "net/netip"

// DefaultNAT is the name of the NAT that exists from the start and follows the
// host's own addresses.
const DefaultNAT = "default"

// DefaultCompartment is the compartment of networks that name none.
const DefaultCompartment = "default"

// MAC is an Ethernet address in canonical lower-case text, "02:42:ac:10:01:02".
type MAC string

// Network is one internal layer-2 segment: a switch, a subnet and the host's
// gateway address on it.
type Network struct {
	Name        string       `json:"name"`
	ID          uint32       `json:"id"`          // stable over restarts; part of kernel keys; never 0
	NAT         string       `json:"nat"`         // or NoNAT
	Compartment string       `json:"compartment"` // EachCompartment, and no bridge: see Private
	Subnet      netip.Prefix `json:"subnet"`      // masked: no host bits
	Gateway     netip.Addr   `json:"gateway"`     // the host vNIC's address, inside Subnet
	Bridge      string       `json:"bridge"`      // link name of the switch; empty: there is none
	Adopted     bool         `json:"adopted"`     // the bridge was there before and stays after
	Overlap     Overlap      `json:"overlap"`     // what to do when the host's own network comes to overlap Subnet
	Isolation   Isolation    `json:"isolation"`   // whom its endpoints reach
	DNS         Switch       `json:"dns"`         // whether the gateway answers for names
	Domain      string       `json:"domain"`      // of the endpoints' names; empty: OwnDomain. See DomainName

	DHCP      Switch         `json:"dhcp"`              // whether clients get addresses from the gateway
	LeaseTime Seconds        `json:"leaseTime"`         // 0: DefaultLeaseTime
	MTU       int            `json:"mtu"`               // bytes; 0: that of the outgoing interface
	NTP       []netip.Addr   `json:"ntp,omitempty"`     // time servers that DHCP tells
	Routes    []Route        `json:"routes,omitempty"`  // that DHCP tells beside the default route
	Ranges    []AddressRange `json:"ranges,omitempty"`  // for DHCP clients; none: the whole subnet
	Exclude   []AddressRange `json:"exclude,omitempty"` // never given out unless asked for

	IslandOf uint32 `json:"-"` // id of the private network that this is an endpoint's part of (Unfolded); 0: none
}

// EndpointKind says what an endpoint's attachment is.
type EndpointKind string

// The kinds of attachment.
const (
	KindNetns EndpointKind = "netns" // veth into a namespace given by name or path
	KindPID   EndpointKind = "pid"   // veth into the namespace of a process
	KindTAP   EndpointKind = "tap"   // a TAP link that a VM monitor holds
	KindPort  EndpointKind = "port"  // any other existing link
)

// Endpoint is one VM's or container's attachment to a network.
type Endpoint struct {
	Name      string       `json:"name"` // unique on the host
	ID        uint32       `json:"id"`   // stable over restarts; never 0
	Network   string       `json:"network"`
	Address   netip.Addr   `json:"address"`
	MAC       MAC          `json:"mac"`
	Kind      EndpointKind `json:"kind"`
	Target    string       `json:"target"`            // namespace name or path, process id, or link name, by Kind
	Interface string       `json:"interface"`         // link name on the host's side
	IfName    string       `json:"ifname"`            // link name inside the namespace ("eth0"); empty for TAP and port
	Aliases   []string     `json:"aliases,omitempty"` // further names in DNS: lower case, sorted
}

// InNamespace reports whether hostnat makes the endpoint's veth pair itself.
func (e Endpoint) InNamespace() bool { return e.Kind == KindNetns || e.Kind == KindPID }

// GatewayPrefix is the gateway's address as the host has it on the network's
// link. It is a single one if the network is Apart: with the subnet's length the
// kernel would take the subnet's broadcast address, which may be that of the
// host's own LAN, to be on this link.
func (n Network) GatewayPrefix() netip.Prefix {
	if n.Apart() {
		return netip.PrefixFrom(n.Gateway, n.Gateway.BitLen())
	}
	return netip.PrefixFrom(n.Gateway, n.Subnet.Bits())
}
