package nat

import (
	"net/netip"
	"strings"
)

// parseProxy reads the parts that need no configuration.
func parseProxy(spec ProxySpec) (Proxy, error) {
	p := Proxy{ProxyProtocol: spec.ProxyProtocol, Transparent: spec.Transparent}
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
	if err := p.checkListen(); err != nil {
		return p, err
	}
	if p.Kind == ByName {
		p.Routes, err = parseProxyRoutes(spec)
		return p, err
	}
	if len(spec.Routes) > 0 {
		return p, Errorf(Invalid, "a proxy of kind %s has no routes", p.Kind).WithHint("give one target, or use kind name")
	}
	if p.Connect, err = parseConnect(spec.Connect); err != nil {
		return p, err
	}
	return p, p.checkConnect()
}

func parseProxyKind(s string) (ProxyKind, error) {
	switch k := ProxyKind(strings.ToLower(s)); k {
	case V4ToV4, V4ToV6, V6ToV4, V6ToV6, ByName:
		return k, nil
	}
	return "", Errorf(Invalid, "%q is not a kind of port proxy", clip(s)).WithHint("use v4tov4, v4tov6, v6tov4, v6tov6 or name")
}

func parseProxyProtocol(s string) (Protocol, error) {
	if s == "" {
		return TCP, nil
	}
	p, err := ParseProtocol(s)
	if err != nil || p == ICMP {
		return 0, Errorf(Invalid, "a port proxy cannot be for protocol %q", clip(s)).WithHint("use tcp or udp")
	}
	return p, nil
}

func checkProxyOptions(p Proxy) error {
	switch {
	case p.Protocol == TCP && p.Transparent && p.Kind != ByName:
		return Errorf(Invalid, "a proxy of kind %s cannot be transparent", p.Kind).
			WithHint("a mapping keeps the client's address ('hostnat mapping add'), or use --proxy-protocol")
	case p.Protocol == TCP:
		return nil
	case p.Kind == ByName:
		return Errorf(Invalid, "%s has no names to choose by", p.Protocol).WithHint("use --protocol tcp")
	case p.ProxyProtocol:
		return Errorf(Invalid, "there is no PROXY protocol header over %s", p.Protocol).WithHint("leave --proxy-protocol out")
	case p.Transparent:
		return Errorf(Invalid, "a proxy for %s cannot be transparent", p.Protocol).WithHint("a mapping keeps the client's address ('hostnat mapping add')")
	}
	return nil
}

// parseListen reads "PORT", ":PORT", "*:PORT", "A:PORT", "[A]:PORT" or
// "NAME:PORT", each with LOW-HIGH in PORT's place.
func parseListen(s string) (HostPorts, error) {
	if s == "" {
		return HostPorts{}, Errorf(Invalid, "the proxy has nothing to listen on").WithHint("write [ADDRESS:]PORT")
	}
	host, ports, found := cutPort(s)
	if !found {
		if !onlyPorts(s) {
			return HostPorts{}, Errorf(Invalid, "listen %q has no port", clip(s)).WithHint("write [ADDRESS:]PORT; an IPv6 address in brackets")
		}
		host, ports = AnyHost, s
	}
	if host == "" {
		host = AnyHost
	}
	return hostPorts("listen", host, ports)
}

func onlyPorts(s string) bool { return strings.Trim(s, "0123456789-+") == "" }

// parseConnect reads "A:PORT", "[A]:PORT" or "NAME:PORT", each with LOW-HIGH in
// PORT's place.
func parseConnect(s string) (HostPorts, error) {
	h, err := parseHostPorts("connect", s)
	switch {
	case err != nil:
		return h, err
	case h.Host == AnyHost || h.Address().IsUnspecified():
		return h, Errorf(Invalid, "connect %s is no place to connect to", h).WithHint("give an endpoint, an address or a name")
	case h.Address().IsMulticast() || h.Address() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return h, Errorf(Invalid, "connect %s is not the address of one host", h).WithHint("give an endpoint, an address or a name")
	}
	return h, nil
}

// parseHostPorts reads what HostPorts.String writes.
func parseHostPorts(what, s string) (HostPorts, error) {
	host, ports, found := cutPort(s)
	switch {
	case s == "":
		return HostPorts{}, Errorf(Invalid, "the proxy has no %s", what).WithHint("write HOST:PORT")
	case !found:
		return HostPorts{}, Errorf(Invalid, "%s %q has no port", what, clip(s)).WithHint("write HOST:PORT; an IPv6 address in brackets")
	case host == "":
		return HostPorts{}, Errorf(Invalid, "%s %q has no host", what, clip(s)).WithHint("write HOST:PORT")
	}
	return hostPorts(what, host, ports)
}

func hostPorts(what, host, ports string) (HostPorts, error) {
	r, err := ParsePortRange(what, ports)
	if err != nil {
		return HostPorts{}, err
	}
	host, err = normalHost(what, host)
	return HostPorts{Host: host, Ports: r}, err
}

// normalHost gives a host the one text that it has everywhere: addresses as
// netip writes them (v4-mapped ones as IPv4), names in lower case without the
// final dot. An endpoint's name is compared as it is written.
func normalHost(what, host string) (string, error) {
	if host == AnyHost {
		return host, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String(), nil
	}
	if looksLikeAddress(host) || !strings.ContainsFunc(host, func(r rune) bool { return r < '0' || r > '9' }) {
		_, err := ParseIPv4(what+" address", host)
		return "", err
	}
	name := strings.TrimSuffix(host, ".")
	return name, checkHostName(what, name)
}

// checkHostName takes names of endpoints and of DNS (RFC 1123 section 2.1, and
// the underscores that are in use).
func checkHostName(what, name string) error {
	const hint = "use letters, digits, '-', '_' and '.', at most 63 between two dots and 253 in all"
	if name == "" || len(name) > 253 {
		return Errorf(Invalid, "%s %q is not a name", what, clip(name)).WithHint(hint)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return Errorf(Invalid, "%s %q is not a name", what, clip(name)).WithHint(hint)
		}
	}
	for _, r := range name {
		if !nameRune(r) {
			return Errorf(Invalid, "%s name %q contains %q", what, clip(name), r).WithHint(hint)
		}
	}
	return nil
}

// parseProxyRoutes reads PATTERN=TARGET of a ByName proxy.
func parseProxyRoutes(spec ProxySpec) ([]ProxyRoute, error) {
	if spec.Connect != "" {
		return nil, Errorf(Invalid, "a proxy of kind name has routes, not one target").WithHint("write NAME=TARGET; '*' is every other name")
	}
	routes := make([]ProxyRoute, 0, len(spec.Routes))
	for _, text := range spec.Routes {
		r, err := parseProxyRoute(text)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	return routes, checkRoutes(routes)
}

func parseProxyRoute(text string) (r ProxyRoute, err error) {
	pattern, target, found := strings.Cut(text, "=")
	if !found {
		return r, Errorf(Invalid, "route %q has no '='", clip(text)).WithHint("write NAME=HOST:PORT")
	}
	if r.Pattern, err = checkPattern(pattern); err != nil {
		return r, err
	}
	if r.Connect, err = parseConnect(target); err == nil && r.Connect.Ports.Size() > 1 {
		err = Errorf(Invalid, "route %q leads to several ports", clip(text)).WithHint("give one port")
	}
	return r, err
}
