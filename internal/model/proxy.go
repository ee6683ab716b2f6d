package model

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ProxyKind says which kinds of addresses a port proxy joins, or that it
// chooses by name.
type ProxyKind string

// The kinds of port proxies. The first four are those of 'netsh interface
// portproxy'.
const (
	V4ToV4 ProxyKind = "v4tov4"
	V4ToV6 ProxyKind = "v4tov6"
	V6ToV4 ProxyKind = "v6tov4"
	V6ToV6 ProxyKind = "v6tov6"
	ByName ProxyKind = "name" // the client names the host it wants: TLS server name or HTTP Host
)

// MaxProxyPorts is how many ports one port proxy can listen on: each is a
// socket of its own.
const MaxProxyPorts = 1000

// AnyHost is the Host of a Proxy's Listen that stands for every address of the
// host, of the kind's family (ByName: both).
const AnyHost = "*"

// Proxy is a relay at the socket level: who connects to Listen talks to
// Connect.
type Proxy struct {
	ID            uint32 // counts from 1, never reused
	Kind          ProxyKind
	Protocol      Protocol // TCP or UDP; ByName: TCP
	Listen        HostPorts
	Connect       HostPorts    // as many ports as Listen; not ByName
	Routes        []ProxyRoute // ByName only
	ProxyProtocol bool         // tell the server who the client is, by a PROXY protocol version 2 header
	Transparent   bool         // the connection to the server has the client's address as its source; ByName only
	Metadata
}

// ProxyRoute is where a ByName proxy sends those who ask for a name.
type ProxyRoute struct {
	Pattern string    // lower case: "www.a.example", "*.b.example"; "*" for everything else
	Connect HostPorts // one port
}

// ListensOn4 reports whether the proxy's listener is an IPv4 one, or may be.
func (p Proxy) ListensOn4() bool {
	return p.Kind == V4ToV4 || p.Kind == V4ToV6 || p.Kind == ByName && !p.Listen.Address().Is6()
}

// ListensOn6 reports whether the proxy's listener is an IPv6 one, or may be.
func (p Proxy) ListensOn6() bool {
	return p.Kind == V6ToV4 || p.Kind == V6ToV6 || p.Kind == ByName && !p.Listen.Address().Is4()
}

// ConnectsTo4 reports whether servers may be reached over IPv4.
func (p Proxy) ConnectsTo4() bool { return p.Kind != V4ToV6 && p.Kind != V6ToV6 }

// ConnectsTo6 reports whether servers may be reached over IPv6.
func (p Proxy) ConnectsTo6() bool { return p.Kind != V4ToV4 && p.Kind != V6ToV4 }

// ListenAddresses returns the addresses that the proxy listens on as far as they
// are known without looking up a name: unspecified ones for AnyHost, none for a
// name.
func (p Proxy) ListenAddresses() (list []netip.Addr) {
	if a := p.Listen.Address(); a.IsValid() {
		return []netip.Addr{a}
	}
	if p.Listen.Host != AnyHost {
		return nil
	}
	if p.ListensOn4() {
		list = append(list, netip.IPv4Unspecified())
	}
	if p.ListensOn6() {
		list = append(list, netip.IPv6Unspecified())
	}
	return list
}

// Targets returns everything that the proxy may connect to.
func (p Proxy) Targets() []HostPorts {
	if p.Kind != ByName {
		return []HostPorts{p.Connect}
	}
	targets := make([]HostPorts, len(p.Routes))
	for i, r := range p.Routes {
		targets[i] = r.Connect
	}
	return targets
}

// String names the proxy in a refusal: "3 (v4tov6 tcp *:8080 to [::1]:80)".
func (p Proxy) String() string {
	if p.Kind == ByName {
		return fmt.Sprintf("%d (by name, %s %s)", p.ID, p.Protocol, p.Listen)
	}
	return fmt.Sprintf("%d (%s %s %s to %s)", p.ID, p.Kind, p.Protocol, p.Listen, p.Connect)
}

// Same reports whether two proxies differ in nothing but their ids.
func (p Proxy) Same(q Proxy) bool {
	return p.Kind == q.Kind && p.Protocol == q.Protocol && p.Listen == q.Listen && p.Connect == q.Connect &&
		p.ProxyProtocol == q.ProxyProtocol && p.Transparent == q.Transparent && slices.Equal(p.Routes, q.Routes)
}

// ProxyState is what a port proxy does at the moment, and has done since the
// daemon started.
type ProxyState struct {
	Listening        bool   // on all of its ports
	Problem          string // what keeps it from working now
	Connections      uint64 // at the moment; UDP: clients heard of in the last minutes
	TotalConnections uint64
	Refused          uint64 // connections and UDP clients for which there was no place
	GaveWay          uint64 // those that were ended so that others have one
	BytesIn          uint64 // from clients to servers
	BytesOut         uint64 // from servers to clients
	LastError        string
	LastErrorAt      *time.Time
}

// Equal reports whether the proxies are the same in everything.
func (p *Proxy) Equal(o *Proxy) bool {
	return p.ID == o.ID && p.Kind == o.Kind && p.Protocol == o.Protocol && p.Listen == o.Listen && p.Connect == o.Connect &&
		slices.Equal(p.Routes, o.Routes) && p.ProxyProtocol == o.ProxyProtocol && p.Transparent == o.Transparent && p.Metadata.Equal(o.Metadata)
}
