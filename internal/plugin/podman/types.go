package podman

import (
	"encoding/json"
	"fmt"
)

// APIVersion is the version of netavark's plugin API.
const APIVersion = "1.0.0"

// Network is a network of Podman's, as far as this package has to do with it. What
// else is in its JSON is kept as it is.
type Network struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Driver     string            `json:"driver"`
	Interface  string            `json:"network_interface,omitempty"`
	Subnets    []Subnet          `json:"subnets,omitempty"`
	IPv6       bool              `json:"ipv6_enabled"`
	Internal   bool              `json:"internal"`
	DNS        bool              `json:"dns_enabled"`
	IPAM       map[string]string `json:"ipam_options,omitempty"`
	Options    map[string]string `json:"options,omitempty"`
	DNSServers []string          `json:"network_dns_servers,omitempty"`
	Routes     []json.RawMessage `json:"routes,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`

	rest map[string]json.RawMessage // everything that was read
}

// Subnet is one of a network's.
type Subnet struct {
	Subnet     string      `json:"subnet"`
	Gateway    string      `json:"gateway,omitempty"`
	LeaseRange *LeaseRange `json:"lease_range,omitempty"`
}

// LeaseRange is where addresses are taken from; either end may be left out.
type LeaseRange struct {
	Start string `json:"start_ip,omitempty"`
	End   string `json:"end_ip,omitempty"`
}

// UnmarshalJSON keeps what it does not know.
func (n *Network) UnmarshalJSON(text []byte) error {
	type plain Network
	if err := json.Unmarshal(text, (*plain)(n)); err != nil {
		return err
	}
	return json.Unmarshal(text, &n.rest)
}

// MarshalJSON writes what is known in the place of what was read.
func (n Network) MarshalJSON() ([]byte, error) {
	type plain Network
	text, err := json.Marshal(plain(n))
	if err != nil {
		return nil, err
	}
	known := make(map[string]json.RawMessage)
	if err := json.Unmarshal(text, &known); err != nil {
		return nil, err
	}
	all := make(map[string]json.RawMessage, len(n.rest)+len(known))
	for key, value := range n.rest {
		all[key] = value
	}
	for key, value := range known {
		all[key] = value
	}
	return json.Marshal(all)
}

// Container is what netavark says of a container that is to be connected to a
// network, or taken from it.
type Container struct {
	ID      string          `json:"container_id"`
	Name    string          `json:"container_name"`
	Ports   []PortMapping   `json:"port_mappings"`
	Network Network         `json:"network"`
	Options ContainerOnLink `json:"network_options"`
}

// ContainerOnLink is what is asked for the container's link.
type ContainerOnLink struct {
	Aliases   []string `json:"aliases"`
	Interface string   `json:"interface_name"`
	Addresses []string `json:"static_ips"`
	MAC       string   `json:"static_mac"`
}

// PortMapping is a published port, or as many in a row as Range says.
type PortMapping struct {
	Container uint16 `json:"container_port"`
	HostIP    string `json:"host_ip"` // empty: every address
	Host      uint16 `json:"host_port"`
	Protocol  string `json:"protocol"` // with commas between; empty: tcp
	Range     uint16 `json:"range"`    // 0: 1
}

// external and internal are the mapping's ends, as AddMapping takes them.
func (p PortMapping) external() string {
	text := portsText(p.Host, p.Range)
	if p.HostIP == "" {
		return "*:" + text
	}
	return p.HostIP + ":" + text
}

func (p PortMapping) internal(endpoint string) string {
	return endpoint + ":" + portsText(p.Container, p.Range)
}

func portsText(first, count uint16) string {
	if count <= 1 {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, int(first)+int(count)-1)
}

// Status is what has become of a container's link.
type Status struct {
	SearchDomains []string             `json:"dns_search_domains"`
	DNSServers    []string             `json:"dns_server_ips"`
	Interfaces    map[string]Interface `json:"interfaces"`
}

// Interface is a link inside the container.
type Interface struct {
	MAC     string    `json:"mac_address"`
	Subnets []Address `json:"subnets"`
}

// Address is an address with its prefix length, and the gateway.
type Address struct {
	IPNet   string `json:"ipnet"`
	Gateway string `json:"gateway,omitempty"`
}
