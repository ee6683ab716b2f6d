package control

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// State says whether an endpoint's link is there, and somebody behind it.
type State string

// The states of an endpoint.
const (
	Up     State = "up"
	Absent State = "absent" // its namespace, process or link is not there at the moment
	Idle   State = "idle"   // its TAP is there, and no program has it open
)

// Source says why a NAT has an external address.
type Source string

// The sources of an external address.
const (
	Fixed     Source = "fixed"     // configured
	Interface Source = "interface" // it is what the outgoing interface has
	Added     Source = "added"     // configured, and added to the host by hostnat
)

// EndpointView is an endpoint and what follows from its network.
type EndpointView struct {
	model.Endpoint
	Gateway      netip.Addr
	PrefixLength int
	MTU          int // bytes
	State        State
	Managed      bool       // attached by hostnat; else discovered by a DHCP lease or from traffic
	DNS          netip.Addr // name server to configure inside; not valid: the network has none
	Domain       string     // to search in; empty if there is no DNS
	Configure    []string   // what a person has to set inside a VM
}

// LeaseView is a lease and whose it is.
type LeaseView struct {
	model.Lease
	Endpoint string // that has the address now; empty: none
}

// MappingView is a mapping and whether the data path serves it.
type MappingView struct {
	ID       uint32
	NAT      string
	Network  string // of the targets; comma-joined if those are of several
	Protocol model.Protocol
	External model.AddrPorts // "A:P", "A:LO-HI", or "A" for all of it
	Internal string          // "A:P", "A:LO-HI" or "A", comma-joined for several targets; address 0.0.0.0: nothing now
	Endpoint string          // the targets given by name, comma-joined
	Targets  []model.Target
	From     []netip.Prefix
	Active   bool
	model.Metadata
}

func viewMapping(m model.Mapping, active bool) MappingView {
	return MappingView{
		Metadata: m.Metadata,
		ID:       m.ID, NAT: m.NAT, Network: m.Networks(), Protocol: m.Protocol, External: m.External,
		Internal: m.InternalText(), Endpoint: m.Endpoints(), Targets: m.Targets, From: m.From, Active: active,
	}
}

// AddressView is an external address that a NAT uses now.
type AddressView struct {
	NAT       string
	Address   netip.Addr
	Ports     string // "LO-HI[,LO-HI]", from which dynamic ports are taken: the host's ephemeral ones left out
	Interface string // link that holds it; empty: none at the moment
	Source    Source
}

// PortKind says what has ports.
type PortKind string

// The kinds of owners of ports.
const (
	MappedPort     PortKind = "mapping"
	ProxyPort      PortKind = "proxy"     // a port proxy listens, or will
	ListenerPort   PortKind = "listener"  // a program of the host: TCP listening, UDP bound
	DynamicPorts   PortKind = "dynamic"   // those that a NAT gives out, on one of its addresses
	EphemeralPorts PortKind = "ephemeral" // from which the host itself talks
)

// PortFilter selects ports; an empty field selects all.
type PortFilter struct {
	Protocol string
	Ports    string // PORT or LO-HI: only whoever has one of these
}

// PortView is one port, or several with one owner.
type PortView struct {
	Protocol model.Protocol
	Address  netip.Addr // 0.0.0.0 or :: for every address of the host
	Ports    string     // "8080", "LO-HI[,LO-HI]"; for ICMP query identifiers
	Kind     PortKind
	NAT      string // whose pool they are; empty: nobody's
	Owner    string // "c1:80 (mapping 1)", "nginx (pid 41)", "NAT default", "the host"
	Count    int    // how many ports these are
	InUse    *int   // how many of them are taken; left out for ephemeral ones, which hostnat does not count
}

// Status is the daemon's state on one page.
type Status struct {
	Version           string
	PID               int
	UptimeSeconds     uint64
	NATs              int
	Networks          int
	Endpoints         int
	Mappings          int
	Bindings          uint64
	Sessions          uint64
	MaxSessions       uint64
	Drops             map[string]uint64 // packets, by reason
	Problems          []string
	Warnings          []string // what is configured and surely not meant
	ExternalAddresses []AddressView
}
