package model

import (
	"net/netip"
	"slices"
	"strings"
)

// HostFacts is what the host itself uses at the moment: the things that a
// configuration must not contradict. Links, addresses and routes that hostnat
// made are left out.
type HostFacts struct {
	Prefixes         []HostPrefix
	Addresses        []HostAddress // of each link its own, the best as a source first
	Adopted          []HostPrefix  // addresses, with their lengths, and routes of bridges that networks have adopted
	Routers          []HostMachine // next hops of the routes, each address once
	Resolvers        []netip.Addr  // whom the host asks for names, loopback ones left out
	DefaultInterface string        // of the default route; empty: there is none
	Interfaces       []string
	RuleLinks        []string // links that routing rules are for what comes in by (`ip rule ... iif LINK`)

	AdoptedMACs map[string]MAC // of the bridges that networks have adopted, by name

	LocalPorts PortRange // from which the host's own clients talk
	MTU        int       // bytes, of the outgoing interface
}

// HostPrefix is a prefix the host reaches by itself. Default routes are left out.
type HostPrefix struct {
	Prefix netip.Prefix
	Source string // "address of eth0", "route via eth1"
}

// HostMachine is a machine that the host needs.
type HostMachine struct {
	Address netip.Addr
	Source  string // "router of the default route via eth0", "router of 10.0.0.0/8 via eth1"
}

// HostAddress is an IPv4 address of the host.
type HostAddress struct {
	Address   netip.Addr
	Interface string
	Added     bool // by hostnat, for a NAT
}

// Listener is a program of the host that holds a port.
type Listener struct {
	Program  string
	PID      int // 0: not known
	Protocol Protocol
	Address  netip.AddrPort // [::] if it takes IPv4 too

	Interface string // it takes what comes in there alone (SO_BINDTODEVICE)
}

// HasInterface reports whether the host has a link of that name.
func (f HostFacts) HasInterface(name string) bool {
	return slices.Contains(f.Interfaces, name)
}

// Reached returns all that the host reaches without hostnat's doing: Prefixes, and
// what is Adopted.
func (f HostFacts) Reached() []HostPrefix {
	list := slices.Clone(f.Prefixes)
	for _, h := range f.Adopted {
		list = append(list, HostPrefix{Prefix: h.Prefix.Masked(), Source: h.Source})
	}
	return list
}

// Needed returns the machines that the host does not work without: its routers
// and resolvers.
func (f HostFacts) Needed() []HostMachine {
	list := slices.Clone(f.Routers)
	for _, a := range f.Resolvers {
		if !slices.ContainsFunc(list, func(m HostMachine) bool { return m.Address == a }) {
			list = append(list, HostMachine{Address: a, Source: "the host's resolver"})
		}
	}
	return list
}

// Held returns all addresses that the host has without hostnat's doing: Addresses,
// and those Adopted.
func (f HostFacts) Held() []HostAddress {
	list := slices.Clone(f.Addresses)
	for _, h := range f.Adopted {
		if link, is := strings.CutPrefix(h.Source, AddressSource); is {
			list = append(list, HostAddress{Address: h.Prefix.Addr(), Interface: link})
		}
	}
	return list
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

// LinksReaching returns the links on whose wire the address would be, by the
// host's own addresses there.
func (f HostFacts) LinksReaching(a netip.Addr) []string {
	var links []string
	for _, h := range f.Prefixes {
		if link, connected := strings.CutPrefix(h.Source, AddressSource); connected && h.Prefix.Contains(a) {
			links = append(links, link)
		}
	}
	return links
}

// AddressSource begins the source of a prefix that comes from a link's own address.
const AddressSource = "address of "

// HasOwn reports whether the host has the address without hostnat's doing.
func (f HostFacts) HasOwn(a netip.Addr) bool {
	return slices.ContainsFunc(f.Addresses, func(h HostAddress) bool { return h.Address == a && !h.Added })
}

// AddressOf returns the best of the addresses that a link has of its own; not valid
// if it has none.
func (f HostFacts) AddressOf(link string) netip.Addr {
	if own := f.AddressesOf(link); len(own) > 0 {
		return own[0]
	}
	return netip.Addr{}
}

// AddressesOf returns the addresses that a link has of its own, the best first.
func (f HostFacts) AddressesOf(link string) (own []netip.Addr) {
	for _, h := range f.Addresses {
		if h.Interface == link && !h.Added {
			own = append(own, h.Address)
		}
	}
	return own
}
