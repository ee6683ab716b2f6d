package nat

import (
	"net/netip"
	"slices"
)

// HostFacts is what the host itself uses at the moment: the things that a
// configuration must not contradict. Links, addresses and routes that hostnat
// made are left out.
type HostFacts struct {
	Prefixes         []HostPrefix  `json:"prefixes"`
	Addresses        []HostAddress `json:"addresses"`
	DefaultInterface string        `json:"defaultInterface"` // of the default route; empty: there is none
	Interfaces       []string      `json:"interfaces"`
	LocalPorts       PortRange     `json:"localPorts"` // from which the host's own clients talk
	MTU              int           `json:"mtu"`        // bytes, of the outgoing interface
}

// HostPrefix is a prefix the host reaches by itself. Default routes are left out.
type HostPrefix struct {
	Prefix netip.Prefix `json:"prefix"`
	Source string       `json:"source"` // "address of eth0", "route via eth1"
}

// HostAddress is an IPv4 address of the host.
type HostAddress struct {
	Address   netip.Addr `json:"address"`
	Interface string     `json:"interface"`
	Added     bool       `json:"added"` // by hostnat, for a NAT
}

// Listener is a program of the host that holds a port.
type Listener struct {
	Program  string         `json:"program"`
	PID      int            `json:"pid"` // 0: not known
	Protocol Protocol       `json:"protocol"`
	Address  netip.AddrPort `json:"address"` // [::] if it takes IPv4 too

	Interface string `json:"interface,omitempty"` // it takes what comes in there alone (SO_BINDTODEVICE)
}

// HasInterface reports whether the host has a link of that name.
func (f HostFacts) HasInterface(name string) bool {
	return slices.Contains(f.Interfaces, name)
}

// InterfaceOf returns the link that holds the address, or "".
func (f HostFacts) InterfaceOf(a netip.Addr) string {
	for _, h := range f.Addresses {
		if h.Address == a {
			return h.Interface
		}
	}
	return ""
}

// HasOwn reports whether the host has the address without hostnat's doing.
func (f HostFacts) HasOwn(a netip.Addr) bool {
	return slices.ContainsFunc(f.Addresses, func(h HostAddress) bool { return h.Address == a && !h.Added })
}

// AddressOf returns the first address that a link has of its own; not valid if
// it has none.
func (f HostFacts) AddressOf(link string) netip.Addr {
	for _, h := range f.Addresses {
		if h.Interface == link && !h.Added {
			return h.Address
		}
	}
	return netip.Addr{}
}
