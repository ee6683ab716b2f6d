package model

import (
	"net/netip"
	"strings"
)

// Filter selects sessions or bindings; an empty field selects all. Internal,
// External and Remote are A, A:PORT, :PORT or a prefix.
type Filter struct {
	NAT        string
	Network    string
	Endpoint   string
	Protocol   string
	Internal   string
	External   string
	Remote     string
	RemoteName string // by which Remote was asked for, or *.DOMAIN for all names below one
	State      string
}

// Selection is a Filter whose texts have been read. The zero value selects all.
type Selection struct {
	NAT, Network, Endpoint     string   // empty: any
	Protocol                   Protocol // 0: any
	internal, external, remote addressPattern
	state                      TCPState
	byState                    bool
	remoteName                 string // in lower case; "" selects all
}

// Session reports whether a session is selected.
func (p *Selection) Session(s *Session) bool {
	return p.common(s.NAT, s.Network, s.Endpoint, s.Protocol) && p.internal.match(s.Internal) &&
		p.external.match(s.External) && p.remote.match(s.Remote) && (!p.byState || s.State == p.state) &&
		p.isNamed(s.RemoteName)
}

// Wish is what each packet has that is of a selected session or, if it is of none, is
// selected by its own addresses.
func (p *Selection) Wish() CaptureWish {
	w := CaptureWish{Protocol: p.Protocol}
	for _, of := range []addressPattern{p.remote, p.internal, p.external} {
		if !w.Prefix.IsValid() {
			w.Prefix = of.prefix
		}
		if w.Port == 0 {
			w.Port = of.port
		}
	}
	return w
}

// isNamed reports whether a remote's name is selected.
func (p *Selection) isNamed(name string) bool {
	if domain, below := strings.CutPrefix(p.remoteName, "*"); below {
		return strings.HasSuffix(name, domain)
	}
	return p.remoteName == "" || name == p.remoteName
}

// Binding reports whether a binding is selected.
func (p *Selection) Binding(b *Binding) bool {
	return p.common(b.NAT, b.Network, b.Endpoint, b.Protocol) && p.internal.match(b.Internal) && p.external.match(b.External)
}

// Bindings is Parse for a filter of bindings. A binding has neither a remote nor a
// state: filtering by them is refused.
func (f Filter) Bindings() (Selection, error) {
	if f.Remote != "" || f.RemoteName != "" || f.State != "" {
		return Selection{}, Errorf(Invalid, "a binding has no remote and no state").WithHint("use 'hostnat session list'")
	}
	return f.Parse()
}

// Parse reads a filter's texts.
func (f Filter) Parse() (p Selection, err error) {
	p = Selection{NAT: f.NAT, Network: f.Network, Endpoint: f.Endpoint, byState: f.State != ""}
	if f.Protocol != "" {
		if p.Protocol, err = ParseProtocol(f.Protocol); err != nil {
			return p, err
		}
	}
	if f.RemoteName != "" {
		if p.remoteName, err = parseRemoteName(f.RemoteName); err != nil {
			return p, err
		}
	}
	if f.State != "" {
		if err = p.state.UnmarshalText([]byte(f.State)); err != nil {
			return p, err
		}
	}
	for _, a := range []struct {
		what, text string
		to         *addressPattern
	}{{"internal", f.Internal, &p.internal}, {"external", f.External, &p.external}, {"remote", f.Remote, &p.remote}} {
		if *a.to, err = parseAddressPattern(a.what, a.text); err != nil {
			return p, err
		}
	}
	return p, nil
}

// parseRemoteName reads a DNS name, or *. and a domain.
func parseRemoteName(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if labels := strings.TrimPrefix(name, "*."); labels == "" || strings.ContainsAny(labels, "* :/") {
		return "", Errorf(Invalid, "remote name %q is no DNS name", Clip(s)).WithHint("write www.example.com, or *.example.com for all names below that")
	}
	return name, nil
}

func (p *Selection) common(nat, network, endpoint string, protocol Protocol) bool {
	return (p.NAT == "" || p.NAT == nat) && (p.Network == "" || p.Network == network) &&
		(p.Endpoint == "" || p.Endpoint == endpoint) && (p.Protocol == 0 || p.Protocol == protocol)
}

// addressPattern selects addresses with ports. The zero value selects all.
type addressPattern struct {
	prefix netip.Prefix // not valid: any
	port   uint16       // 0: any
}

func (p addressPattern) match(a netip.AddrPort) bool {
	return (!p.prefix.IsValid() || p.prefix.Contains(a.Addr())) && (p.port == 0 || p.port == a.Port())
}

// parseAddressPattern reads "", A, A:PORT, :PORT or a prefix.
func parseAddressPattern(what, s string) (p addressPattern, err error) {
	if s == "" {
		return p, nil
	}
	if strings.Contains(s, "/") {
		if p.prefix, err = parsePrefix(what, s); err != nil {
			return addressPattern{}, err
		}
		p.prefix = p.prefix.Masked()
		return p, nil
	}
	host, port, hasPort := CutPort(s)
	if hasPort {
		if p.port, err = ParsePort(what, port); err != nil {
			return addressPattern{}, err
		}
	}
	if hasPort && host == "" {
		return p, nil
	}
	a, err := ParseIPv4(what, host)
	if err != nil {
		return addressPattern{}, err
	}
	p.prefix = netip.PrefixFrom(a, 32)
	return p, nil
}
