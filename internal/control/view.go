package control

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// State says whether an endpoint's link is there.
type State string

// The states of an endpoint.
const (
	Up     State = "up"
	Absent State = "absent" // its namespace, process or link is not there at the moment
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
	Gateway      netip.Addr `json:"gateway"`
	PrefixLength int        `json:"prefixLength"`
	MTU          int        `json:"mtu"` // bytes
	State        State      `json:"state"`
	Managed      bool       `json:"managed"`             // attached by hostnat; else learnt from a DHCP lease or from traffic
	DNS          string     `json:"dns,omitempty"`       // name server to configure inside; empty: the network has none
	Domain       string     `json:"domain,omitempty"`    // to search in; empty like DNS
	Configure    []string   `json:"configure,omitempty"` // what a person has to set inside a VM
}

// LeaseView is a lease and whose it is.
type LeaseView struct {
	model.Lease
	Endpoint string `json:"endpoint"` // that has the address now; empty: none
}

// MappingView is a mapping and whether the data path serves it.
type MappingView struct {
	ID       uint32          `json:"id"`
	NAT      string          `json:"nat"`
	Network  string          `json:"network"` // of the targets; comma-joined if those are of several
	Protocol model.Protocol  `json:"protocol"`
	External model.AddrPorts `json:"external"`           // "A:P", "A:LO-HI", or "A" for all of it
	Internal string          `json:"internal"`           // "A:P", "A:LO-HI" or "A", comma-joined for several targets; address 0.0.0.0: nothing now
	Endpoint string          `json:"endpoint,omitempty"` // the targets given by name, comma-joined
	Targets  []model.Target  `json:"targets"`
	From     []netip.Prefix  `json:"from"`
	Active   bool            `json:"active"`
}

func viewMapping(m model.Mapping, active bool) MappingView {
	return MappingView{
		ID: m.ID, NAT: m.NAT, Network: m.Networks(), Protocol: m.Protocol, External: m.External,
		Internal: m.InternalText(), Endpoint: m.Endpoints(), Targets: m.Targets, From: m.From, Active: active,
	}
}

// AddressView is an external address that a NAT uses now.
type AddressView struct {
	NAT       string     `json:"nat"`
	Address   netip.Addr `json:"address"`
	Ports     string     `json:"ports"`     // "LO-HI[,LO-HI]", from which dynamic ports are taken: the host's ephemeral ones left out
	Interface string     `json:"interface"` // link that holds it; empty: none at the moment
	Source    Source     `json:"source"`
}

// EndedSessions says what became of DeleteSessions.
type EndedSessions struct {
	Ended int `json:"ended"` // how many
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

// PortView is one port, or several with one owner.
type PortView struct {
	Protocol model.Protocol `json:"protocol"`
	Address  netip.Addr     `json:"address"` // 0.0.0.0 or :: for every address of the host
	Ports    string         `json:"ports"`   // "8080", "LO-HI[,LO-HI]"; for ICMP query identifiers
	Kind     PortKind       `json:"kind"`
	Owner    string         `json:"owner"`           // "c1:80 (mapping 1)", "nginx (pid 41)", "NAT default", "the host"
	Count    int            `json:"count"`           // how many ports these are
	InUse    *int           `json:"inUse,omitempty"` // how many of them are taken; left out for ephemeral ones, which hostnat does not count
}

// Status is the daemon's state on one page.
type Status struct {
	Version           string            `json:"version"`
	PID               int               `json:"pid"`
	UptimeSeconds     uint64            `json:"uptimeSeconds"`
	NATs              int               `json:"nats"`
	Networks          int               `json:"networks"`
	Endpoints         int               `json:"endpoints"`
	Mappings          int               `json:"mappings"`
	Bindings          uint64            `json:"bindings"`
	Sessions          uint64            `json:"sessions"`
	MaxSessions       uint64            `json:"maxSessions"`
	Drops             map[string]uint64 `json:"drops"` // packets, by reason
	Problems          []string          `json:"problems"`
	ExternalAddresses []AddressView     `json:"externalAddresses"`
}
