package model

import (
	"net/netip"
	"strings"
)

// Route is a static route that a network's endpoints are told of by DHCP. In
// text and JSON "PREFIX=VIA".
type Route struct {
	Prefix netip.Prefix
	Via    netip.Addr // a station of the network
}

// String is "PREFIX=VIA".
func (r Route) String() string { return r.Prefix.String() + "=" + r.Via.String() }

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (r *Route) UnmarshalText(text []byte) (err error) {
	prefix, via, found := strings.Cut(string(text), "=")
	if !found {
		return Errorf(Invalid, "route %q has no gateway", Clip(string(text))).WithHint("write PREFIX=GATEWAY, for example 10.9.0.0/16=172.16.1.9")
	}
	if r.Prefix, err = parsePrefix("route", prefix); err != nil {
		return err
	}
	if r.Prefix != r.Prefix.Masked() {
		return Errorf(Invalid, "route %s has host bits set", r.Prefix).WithHint("use %s", r.Prefix.Masked())
	}
	r.Via, err = ParseIPv4("gateway of the route", via)
	return err
}
