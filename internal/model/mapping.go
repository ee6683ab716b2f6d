package model

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// SharesWith reports whether nothing of m was changed since it was copied from o.
func (m *Mapping) SharesWith(o *Mapping) bool {
	return m.ID == o.ID && m.NAT == o.NAT && m.Protocol == o.Protocol && m.External == o.External &&
		isShared(m.Targets, o.Targets) && isShared(m.From, o.From)
}

func isShared[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// Equal reports whether the mappings are the same in everything.
func (m *Mapping) Equal(o *Mapping) bool {
	return m.SharesWith(o) && m.Metadata.Equal(o.Metadata) || m.ID == o.ID && m.NAT == o.NAT && m.Protocol == o.Protocol && m.External == o.External &&
		slices.Equal(m.Targets, o.Targets) && slices.Equal(m.From, o.From) && m.Metadata.Equal(o.Metadata)
}

// Mapping is a configured (static) mapping: traffic to External reaches its
// targets. Each new session goes to one of them, port by port: the n-th external
// port leads to the n-th of the target's.
type Mapping struct {
	ID       uint32 // counts from 1, never reused
	NAT      string
	Protocol Protocol       // AnyProtocol: a whole address, external and internal ones without ports
	External AddrPorts      // address 0.0.0.0: any address of the host
	Targets  []Target       // at least one; all of one compartment and as long as External
	From     []netip.Prefix // remotes allowed; empty: all
	Metadata
}

// Target is one thing that a mapping leads to.
type Target struct {
	Endpoint string // if given by name: Internal's address follows this endpoint
	Network  string
	MAC      MAC       // if the endpoint is discovered by a lease: the client's, which nobody else can have by taking its name
	Internal AddrPorts // what it resolves to now; address 0.0.0.0: nothing
}

// Resolved reports whether the target has an address now: one that is an
// endpoint's name has none while the endpoint is detached.
func (t Target) Resolved() bool { return !t.Internal.Address.IsUnspecified() }

// String is "c1:80", or "172.16.1.2:80-89".
func (t Target) String() string {
	switch {
	case t.Endpoint == "":
		return t.Internal.String()
	case t.Internal.IsAddressOnly():
		return t.Endpoint
	}
	return t.Endpoint + ":" + t.Internal.Ports.Text()
}

// Resolved reports whether any of the mapping's targets has an address now.
func (m Mapping) Resolved() bool { return slices.ContainsFunc(m.Targets, Target.Resolved) }

// String names the mapping in a refusal: "3 (tcp *:8080 to 172.16.1.2:80)".
func (m Mapping) String() string {
	return fmt.Sprintf("%d (%s %s to %s)", m.ID, m.Protocol, ExternalText(m.External), m.TargetText())
}

// ExternalText is where the mapping is reached: "*:8080", "192.0.2.1:80-89", or
// "192.0.2.1" if it has the whole address.
func (m Mapping) ExternalText() string { return ExternalText(m.External) }

// TargetText is what the mapping leads to: "c1:80", or "172.16.1.2:80,c2:80".
func (m Mapping) TargetText() string {
	return Join(m.Targets, Target.String)
}

// InternalText is what the targets resolve to now: "172.16.1.2:80,172.16.1.3:80".
func (m Mapping) InternalText() string {
	return Join(m.Targets, func(t Target) string { return t.Internal.String() })
}

// Networks are those of the targets, each once: "web", or "web,lab".
func (m Mapping) Networks() string {
	var names []string
	for _, t := range m.Targets {
		if !slices.Contains(names, t.Network) {
			names = append(names, t.Network)
		}
	}
	return strings.Join(names, ",")
}

// Endpoints are the targets' that were given by name, each once: "c1,c2".
func (m Mapping) Endpoints() string {
	var names []string
	for _, t := range m.Targets {
		if t.Endpoint != "" && !slices.Contains(names, t.Endpoint) {
			names = append(names, t.Endpoint)
		}
	}
	return strings.Join(names, ",")
}

func ExternalText(a AddrPorts) string {
	if a.Address.IsUnspecified() {
		return "*:" + a.Ports.Text()
	}
	return a.String()
}

func Join[T any](list []T, text func(T) string) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = text(v)
	}
	return strings.Join(texts, ",")
}

// Present returns the mapping without those of several targets whose endpoint is
// absent: new sessions go to the others. If all are, it stays as it is.
func (m Mapping) Present(absent map[string]error) Mapping {
	var there []Target
	for _, t := range m.Targets {
		if _, gone := absent[t.Endpoint]; !gone || t.Endpoint == "" {
			there = append(there, t)
		}
	}
	if len(there) > 0 {
		m.Targets = there
	}
	return m
}

// IsOneToOne reports whether the mapping has a whole external address: every
// protocol, every port of TCP and UDP (RFC 3022 section 2.1, Basic NAT).
func (m Mapping) IsOneToOne() bool { return m.Protocol == AnyProtocol }

// Ports are those that the mapping has outside: of a whole address all.
func (m Mapping) Ports() PortRange {
	if m.IsOneToOne() {
		return PortRange{Low: 1, High: 65535}
	}
	return m.External.Ports
}
