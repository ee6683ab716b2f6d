package config

import "github.com/hostnat/hostnat/internal/model"

// checkListen refuses listen addresses of another family, or of nobody.
func checkListen(p model.Proxy) error {
	a := p.Listen.Address()
	if size := p.Listen.Ports.Size(); size > model.MaxProxyPorts {
		return model.Errorf(model.Invalid, "listen %s has %d ports, and a proxy can have %d: each is a socket of its own", p.Listen, size, model.MaxProxyPorts).
			WithHint("a mapping has any number of ports at no cost ('hostnat mapping add')")
	}
	switch {
	case !a.IsValid():
		return nil // a name, or *
	case a.Is4() && !p.ListensOn4():
		return model.Errorf(model.Invalid, "listen address %s is IPv4, and a %s proxy listens on IPv6", a, p.Kind).WithHint("use %s", listenOther(p))
	case a.Is6() && !p.ListensOn6():
		return model.Errorf(model.Invalid, "listen address %s is IPv6, and a %s proxy listens on IPv4", a, p.Kind).WithHint("use %s", listenOther(p))
	case a.IsMulticast():
		return model.Errorf(model.Invalid, "listen address %s is multicast", a).WithHint("use an address of the host, or *")
	}
	return nil
}

// checkConnect refuses targets of another family, and ranges that do not fit.
func checkConnect(p model.Proxy) error {
	if err := checkFamily(p, p.Connect); err != nil {
		return err
	}
	if has, wants := p.Connect.Ports.Size(), p.Listen.Ports.Size(); has != wants {
		return model.Errorf(model.Invalid, "listen %s has %s, but connect %s has %s", p.Listen, portCount(wants), p.Connect, portCount(has)).WithHint("give both ranges the same length")
	}
	return nil
}

func checkFamily(p model.Proxy, target model.HostPorts) error {
	a := target.Address()
	switch {
	case !a.IsValid():
		return nil
	case a.Is4() && !p.ConnectsTo4():
		return model.Errorf(model.Invalid, "connect address %s is IPv4, and a %s proxy connects over IPv6", a, p.Kind).WithHint("use %s", connectOther(p))
	case a.Is6() && !p.ConnectsTo6():
		return model.Errorf(model.Invalid, "connect address %s is IPv6, and a %s proxy connects over IPv4", a, p.Kind).WithHint("use %s", connectOther(p))
	}
	return nil
}

// listenOther is the kind that differs in the side that listens.
func listenOther(p model.Proxy) model.ProxyKind {
	return map[model.ProxyKind]model.ProxyKind{model.V4ToV4: model.V6ToV4, model.V6ToV4: model.V4ToV4, model.V4ToV6: model.V6ToV6, model.V6ToV6: model.V4ToV6}[p.Kind]
}

// connectOther is the kind that differs in the side that connects.
func connectOther(p model.Proxy) model.ProxyKind {
	return map[model.ProxyKind]model.ProxyKind{model.V4ToV4: model.V4ToV6, model.V4ToV6: model.V4ToV4, model.V6ToV4: model.V6ToV6, model.V6ToV6: model.V6ToV4}[p.Kind]
}

// clashProxy refuses two proxies that would listen on one port.
func clashProxy(has, asked model.Proxy) error {
	if has.Protocol != asked.Protocol || !has.Listen.Ports.Overlaps(asked.Listen.Ports) || !listenMeets(has, asked) {
		return nil
	}
	return model.Errorf(model.Conflict, "port proxy %s listens on %s %s", has, asked.Protocol, and(has.Listen.Ports, asked.Listen.Ports).Text()).
		WithHint("delete it first, or choose another port")
}

// listenMeets reports whether a connection may be meant for both. A name may be
// any address of its family.
func listenMeets(a, b model.Proxy) bool {
	if !(a.ListensOn4() && b.ListensOn4()) && !(a.ListensOn6() && b.ListensOn6()) {
		return false
	}
	x, y := a.Listen.Address(), b.Listen.Address()
	return !x.IsValid() || !y.IsValid() || model.AddressesMeet(x, y)
}

// clashProxyMapping refuses a proxy and a mapping that are for the same
// traffic. A proxy that listens on IPv6 stands beside a mapping, which is IPv4:
// together they publish a port over both.
func clashProxyMapping(p model.Proxy, m model.Mapping) bool {
	if (p.Protocol != m.Protocol && !m.IsOneToOne()) || !p.ListensOn4() || !p.Listen.Ports.Overlaps(m.Ports()) {
		return false
	}
	a := p.Listen.Address()
	return !a.IsValid() || model.AddressesMeet(a, m.External.Address)
}

// checkProxyPort refuses a proxy on a port that a mapping or a proxy has.
func (c *Config) checkProxyPort(p model.Proxy) error {
	for _, m := range c.Mappings {
		if clashProxyMapping(p, m) {
			return model.Errorf(model.Conflict, "%s %s is mapped already: mapping %s", p.Protocol, p.Listen, m).
				WithHint("delete it first, or listen on another port")
		}
	}
	for _, has := range c.Proxies {
		if err := clashProxy(has, p); err != nil {
			return err
		}
	}
	return nil
}

// checkMappingProxies refuses a mapping on a port of a proxy.
func (c *Config) checkMappingProxies(m model.Mapping) error {
	for _, p := range c.Proxies {
		if clashProxyMapping(p, m) {
			hint := "delete it first, or choose another external port"
			if m.IsOneToOne() {
				hint = "delete it first, or choose another external address"
			}
			return model.Errorf(model.Conflict, "port proxy %s listens on %s %s", p, p.Protocol, p.Listen).WithHint("%s", hint)
		}
	}
	return nil
}

// clashNameServer refuses a proxy that would take its questions from a network's name
// server, which answers on port 53 of the gateway over UDP and TCP.
func clashNameServer(p model.Proxy, n model.Network) error {
	const domain = 53
	a := p.Listen.Address()
	if !n.DNS.On() || !p.ListensOn4() || !p.Listen.Ports.Contains(domain) || a.IsValid() && !model.AddressesMeet(a, n.Gateway4()) {
		return nil
	}
	return model.Errorf(model.Conflict, "%s %s is where the name server of network %q answers (%s:%d)", p.Protocol, p.Listen, n.Name, n.Gateway4(), domain).
		WithHint("listen on one address of the host, on another port, or turn the name server off: hostnat network set %s dns=off", n.Name)
}
