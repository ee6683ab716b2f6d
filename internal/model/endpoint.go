package model

import (
	"net/netip"
	"slices"
	"strings"
)

// DefaultIfName is the link name inside a namespace if none is asked for.
const DefaultIfName = "eth0"

// KindTraffic is an endpoint that hostnat did not attach and that did not ask
// for its address: what it sends tells of it.
const KindTraffic EndpointKind = "traffic"

// Managed reports whether hostnat attached the endpoint; else it was discovered.
func (e Endpoint) Managed() bool { return e.Kind != KindLease && e.Kind != KindTraffic }

// Neighbour is somebody on a bridge who spoke to the host not long ago.
type Neighbour struct {
	Bridge  string // link
	Address netip.Addr
	MAC     MAC
}

// Equal reports whether the endpoints are the same in everything.
func (e *Endpoint) Equal(o *Endpoint) bool {
	return e.Name == o.Name && e.ID == o.ID && e.Network == o.Network && slices.Equal(e.Addresses, o.Addresses) && e.MAC == o.MAC &&
		e.Kind == o.Kind && e.Target == o.Target && e.Interface == o.Interface && e.IfName == o.IfName && slices.Equal(e.Aliases, o.Aliases) && slices.Equal(e.Allow, o.Allow) && e.TAP == o.TAP && e.Metadata.Equal(o.Metadata)
}

// KindLease is an endpoint that hostnat did not attach: it asked for an address
// by DHCP.
const KindLease EndpointKind = "lease"

// EndpointKind says what an endpoint's attachment is.
type EndpointKind string

// The kinds of attachment.
const (
	KindNetns EndpointKind = "netns" // veth into a namespace given by name or path
	KindPID   EndpointKind = "pid"   // veth into the namespace of a process
	KindTAP   EndpointKind = "tap"   // a TAP link that a VM monitor holds
	KindPort  EndpointKind = "port"  // any other existing link
	KindPair  EndpointKind = "pair"  // veth whose other end lies on the host until a container engine takes it
)

// Endpoint is one VM's or container's attachment to a network.
type Endpoint struct {
	Name      string // unique on the host
	ID        uint32 // stable over restarts; never 0
	Network   string
	Addresses []netip.Addr // at most one of each family, each inside one of the network's subnets
	MAC       MAC
	Kind      EndpointKind
	Target    string         // namespace name or path, process id, or link name, by Kind
	Interface string         // link name on the host's side
	IfName    string         // link name inside the namespace ("eth0", or the TAP's); empty for TAP and port
	Aliases   []string       // further names in DNS: lower case, sorted
	Allow     []netip.Prefix // that it may send from and is reached at beside its addresses; sorted. See IsAnySource
	TAP       TAP            // that hostnat makes for it
	Metadata
}

// IsAnySource reports whether an allowed prefix is that of an endpoint that forwards
// for its neighbours: to them it may send from any address, but it is not reached
// at any.
func IsAnySource(p netip.Prefix) bool { return p.Bits() == 0 }

// Allowed returns the prefix, if there is one, by which the endpoint has an address
// that is none of its own.
func (e Endpoint) Allowed(a netip.Addr) (netip.Prefix, bool) {
	for _, p := range e.Allow {
		if !IsAnySource(p) && p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Forwards reports whether the endpoint forwards for its neighbours.
func (e Endpoint) Forwards() bool { return slices.ContainsFunc(e.Allow, IsAnySource) }

// Further are the prefixes in which the endpoint may have addresses beside its own.
func (e Endpoint) Further() []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(e.Allow), IsAnySource)
}

// Address4 is the IPv4 one of the addresses; not valid if there is none.
func (e Endpoint) Address4() netip.Addr { return first4(e.Addresses) }

// InNamespace reports whether hostnat makes the endpoint's veth pair itself.
func (e Endpoint) InNamespace() bool { return e.Kind == KindNetns || e.Kind == KindPID }

// MaxQueues is how many queues the kernel gives a TAP (MAX_TAP_QUEUES).
const MaxQueues = 256

// TAP is a TAP that hostnat makes for an endpoint, and deletes with it. It is the
// endpoint's link or, where that is in a namespace, called IfName there.
type TAP struct {
	Made    bool   // by hostnat; else it is somebody else's, and nothing else here is set
	User    string // name or number of the user who may open it; empty: who has CAP_NET_ADMIN alone
	Group   string // likewise, of a group
	Queues  int    // how many a VM monitor may open at once; 0: one
	VNetHdr bool   // frames have a virtio header (IFF_VNET_HDR) unless who opens it says otherwise
}

// Several reports whether it is one for several queues: who opens it has to ask for that.
func (t TAP) Several() bool { return t.Queues > 1 }

// Check refuses what a TAP cannot be.
func (t TAP) Check() error {
	if !t.Made {
		if t != (TAP{}) {
			return Errorf(Invalid, "user, group, queues and vnet-hdr are for a TAP that hostnat makes").WithHint("add --create")
		}
		return nil
	}
	for _, who := range []struct{ what, name string }{{"user", t.User}, {"group", t.Group}} {
		if strings.ContainsFunc(who.name, func(r rune) bool { return r <= ' ' || r == ':' || r == '/' || r == 0x7f }) || len(who.name) > 256 {
			return Errorf(Invalid, "%s %q is not a name or number", who.what, Clip(who.name)).WithHint("use one that 'getent passwd' or 'getent group' shows")
		}
	}
	if t.Queues < 0 || t.Queues > MaxQueues {
		return Errorf(Invalid, "a TAP cannot have %d queues", t.Queues).WithHint("use a number from 1 to %d", MaxQueues)
	}
	return nil
}

// OwnLink reports whether hostnat makes the endpoint's link on the host.
func (e Endpoint) OwnLink() bool { return e.InNamespace() || e.TAP.Made || e.Kind == KindPair }
