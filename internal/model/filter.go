package model

import (
	"net/netip"
	"strings"
)

// Filter selects sessions or bindings; an empty field selects all. Internal,
// External and Remote are A, A:PORT, :PORT or a prefix.
type Filter struct {
	NAT      string
	Network  string
	Endpoint string
	Protocol string
	Internal string
	External string
	Remote   string
	State    string
}

// Sessions returns a function that says whether a session is selected.
func (f Filter) Sessions() (func(Session) bool, error) {
	p, err := f.parse()
	if err != nil {
		return nil, err
	}
	return func(s Session) bool {
		return p.common(s.NAT, s.Network, s.Endpoint, s.Protocol) && p.internal.match(s.Internal) &&
			p.external.match(s.External) && p.remote.match(s.Remote) && (f.State == "" || s.State == p.state)
	}, nil
}

// Bindings returns a function that says whether a binding is selected. A
// binding has neither a remote nor a state: filtering by them is refused.
func (f Filter) Bindings() (func(Binding) bool, error) {
	if f.Remote != "" || f.State != "" {
		return nil, Errorf(Invalid, "a binding has no remote and no state").WithHint("use 'hostnat session list'")
	}
	p, err := f.parse()
	if err != nil {
		return nil, err
	}
	return func(b Binding) bool {
		return p.common(b.NAT, b.Network, b.Endpoint, b.Protocol) && p.internal.match(b.Internal) && p.external.match(b.External)
	}, nil
}

// parsedFilter is a Filter whose texts have been read.
type parsedFilter struct {
	Filter
	protocol                   Protocol
	internal, external, remote addressPattern
	state                      TCPState
}

func (f Filter) parse() (p parsedFilter, err error) {
	p.Filter = f
	if f.Protocol != "" {
		if p.protocol, err = ParseProtocol(f.Protocol); err != nil {
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

func (p parsedFilter) common(nat, network, endpoint string, protocol Protocol) bool {
	return (p.NAT == "" || p.NAT == nat) && (p.Network == "" || p.Network == network) &&
		(p.Endpoint == "" || p.Endpoint == endpoint) && (p.protocol == 0 || p.protocol == protocol)
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
