package config

import (
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// parseProxy reads the parts that need no configuration.
func parseProxy(spec ProxySpec) (model.Proxy, error) {
	p := model.Proxy{ProxyProtocol: spec.ProxyProtocol, Transparent: spec.Transparent}
	var err error
	if p.Kind, err = parseProxyKind(spec.Kind); err != nil {
		return p, err
	}
	if p.Protocol, err = parseProxyProtocol(spec.Protocol); err != nil {
		return p, err
	}
	if err := checkProxyOptions(p); err != nil {
		return p, err
	}
	if p.Listen, err = parseListen(spec.Listen); err != nil {
		return p, err
	}
	if err := checkListen(p); err != nil {
		return p, err
	}
	if p.Kind == model.ByName {
		p.Routes, err = parseProxyRoutes(spec)
		return p, err
	}
	if len(spec.Routes) > 0 {
		return p, model.Errorf(model.Invalid, "a proxy of kind %s has no routes", p.Kind).WithHint("give one target, or use kind name")
	}
	if p.Connect, err = parseConnect(spec.Connect); err != nil {
		return p, err
	}
	return p, checkConnect(p)
}

func parseProxyKind(s string) (model.ProxyKind, error) {
	switch k := model.ProxyKind(strings.ToLower(s)); k {
	case model.V4ToV4, model.V4ToV6, model.V6ToV4, model.V6ToV6, model.ByName:
		return k, nil
	}
	return "", model.Errorf(model.Invalid, "%q is not a kind of port proxy", model.Clip(s)).WithHint("use v4tov4, v4tov6, v6tov4, v6tov6 or name")
}

func parseProxyProtocol(s string) (model.Protocol, error) {
	if s == "" {
		return model.TCP, nil
	}
	p, err := model.ParseProtocol(s)
	if err != nil || p == model.ICMP {
		return 0, model.Errorf(model.Invalid, "a port proxy cannot be for protocol %q", model.Clip(s)).WithHint("use tcp or udp")
	}
	return p, nil
}

func checkProxyOptions(p model.Proxy) error {
	switch {
	case p.Protocol == model.TCP && p.Transparent && p.Kind != model.ByName:
		return model.Errorf(model.Invalid, "a proxy of kind %s cannot be transparent", p.Kind).
			WithHint("a mapping keeps the client's address ('hostnat mapping add'), or use --proxy-protocol")
	case p.Protocol == model.TCP:
		return nil
	case p.Kind == model.ByName:
		return model.Errorf(model.Invalid, "%s has no names to choose by", p.Protocol).WithHint("use --protocol tcp")
	case p.ProxyProtocol:
		return model.Errorf(model.Invalid, "there is no PROXY protocol header over %s", p.Protocol).WithHint("leave --proxy-protocol out")
	case p.Transparent:
		return model.Errorf(model.Invalid, "a proxy for %s cannot be transparent", p.Protocol).WithHint("a mapping keeps the client's address ('hostnat mapping add')")
	}
	return nil
}

// parseListen reads "PORT", ":PORT", "*:PORT", "A:PORT", "[A]:PORT" or
// "NAME:PORT", each with LOW-HIGH in PORT's place.
func parseListen(s string) (model.HostPorts, error) {
	if s == "" {
		return model.HostPorts{}, model.Errorf(model.Invalid, "the proxy has nothing to listen on").WithHint("write [ADDRESS:]PORT")
	}
	host, ports, found := model.CutPort(s)
	if !found {
		if !onlyPorts(s) {
			return model.HostPorts{}, model.Errorf(model.Invalid, "listen %q has no port", model.Clip(s)).WithHint("write [ADDRESS:]PORT; an IPv6 address in brackets")
		}
		host, ports = model.AnyHost, s
	}
	if host == "" {
		host = model.AnyHost
	}
	return model.NewHostPorts("listen", host, ports)
}

func onlyPorts(s string) bool { return strings.Trim(s, "0123456789-+") == "" }

// parseConnect reads "A:PORT", "[A]:PORT" or "NAME:PORT", each with LOW-HIGH in
// PORT's place.
func parseConnect(s string) (model.HostPorts, error) {
	h, err := model.ParseHostPorts("connect", s)
	switch {
	case err != nil:
		return h, err
	case h.Host == model.AnyHost || h.Address().IsUnspecified():
		return h, model.Errorf(model.Invalid, "connect %s is no place to connect to", h).WithHint("give an endpoint, an address or a name")
	case h.Address().IsMulticast() || h.Address() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return h, model.Errorf(model.Invalid, "connect %s is not the address of one host", h).WithHint("give an endpoint, an address or a name")
	}
	return h, nil
}

// parseProxyRoutes reads PATTERN=TARGET of a ByName proxy.
func parseProxyRoutes(spec ProxySpec) ([]model.ProxyRoute, error) {
	if spec.Connect != "" {
		return nil, model.Errorf(model.Invalid, "a proxy of kind name has routes, not one target").WithHint("write NAME=TARGET; '*' is every other name")
	}
	routes := make([]model.ProxyRoute, 0, len(spec.Routes))
	for _, text := range spec.Routes {
		r, err := parseProxyRoute(text)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	return routes, checkRoutes(routes)
}

func parseProxyRoute(text string) (r model.ProxyRoute, err error) {
	pattern, target, found := strings.Cut(text, "=")
	if !found {
		return r, model.Errorf(model.Invalid, "route %q has no '='", model.Clip(text)).WithHint("write NAME=HOST:PORT")
	}
	if r.Pattern, err = checkPattern(pattern); err != nil {
		return r, err
	}
	if r.Connect, err = parseConnect(target); err == nil && r.Connect.Ports.Size() > 1 {
		err = model.Errorf(model.Invalid, "route %q leads to several ports", model.Clip(text)).WithHint("give one port")
	}
	return r, err
}

const patternHint = "write NAME=HOST:PORT; '*.NAME' is every name below NAME, '*' every other name"

// checkPattern returns a route's pattern as it is stored.
func checkPattern(pattern string) (string, error) {
	switch {
	case pattern == "":
		return "", model.Errorf(model.Invalid, "a route has no name").WithHint(patternHint)
	case pattern == model.AnyName:
		return pattern, nil
	}
	for _, r := range pattern {
		if r >= 0x80 {
			return "", model.Errorf(model.Invalid, "route name %q is not ASCII", model.Clip(pattern)).WithHint("write it as it travels: xn--...")
		}
	}
	bracketed := strings.HasPrefix(pattern, "[") && strings.HasSuffix(pattern, "]")
	if bracketed {
		pattern = pattern[1 : len(pattern)-1]
	}
	folded := model.FoldServerName(pattern)
	if _, err := netip.ParseAddr(folded); err == nil {
		return folded, nil
	}
	name := strings.TrimPrefix(folded, model.Wildcard)
	if bracketed || strings.Contains(name, "*") {
		return "", model.Errorf(model.Invalid, "route name %q is none that a client could ask for", model.Clip(pattern)).WithHint(patternHint)
	}
	return folded, model.CheckHostName("route", name)
}

// checkRoutes refuses lists that contradict themselves.
func checkRoutes(routes []model.ProxyRoute) error {
	if len(routes) == 0 {
		return model.Errorf(model.Invalid, "the proxy has no routes").WithHint(patternHint)
	}
	seen := make(map[string]model.HostPorts, len(routes))
	for _, r := range routes {
		if has, twice := seen[r.Pattern]; twice {
			return model.Errorf(model.Conflict, "the name %s leads to %s and to %s", r.Pattern, has, r.Connect).WithHint("give each name once")
		}
		seen[r.Pattern] = r.Connect
	}
	return nil
}
