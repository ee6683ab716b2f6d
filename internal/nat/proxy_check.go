package nat

// checkListen refuses listen addresses of another family, or of nobody.
func (p Proxy) checkListen() error {
	a := p.Listen.Address()
	if size := p.Listen.Ports.Size(); size > MaxProxyPorts {
		return Errorf(Invalid, "listen %s has %d ports, and a proxy can have %d: each is a socket of its own", p.Listen, size, MaxProxyPorts).
			WithHint("a mapping has any number of ports at no cost ('hostnat mapping add')")
	}
	switch {
	case !a.IsValid():
		return nil // a name, or *
	case a.Is4() && !p.ListensOn4():
		return Errorf(Invalid, "listen address %s is IPv4, and a %s proxy listens on IPv6", a, p.Kind).WithHint("use %s", p.listenOther())
	case a.Is6() && !p.ListensOn6():
		return Errorf(Invalid, "listen address %s is IPv6, and a %s proxy listens on IPv4", a, p.Kind).WithHint("use %s", p.listenOther())
	case a.IsMulticast():
		return Errorf(Invalid, "listen address %s is multicast", a).WithHint("use an address of the host, or *")
	}
	return nil
}

// checkConnect refuses targets of another family, and ranges that do not fit.
func (p Proxy) checkConnect() error {
	if err := p.checkFamily(p.Connect); err != nil {
		return err
	}
	if has, wants := p.Connect.Ports.Size(), p.Listen.Ports.Size(); has != wants {
		return Errorf(Invalid, "listen %s has %s, but connect %s has %s", p.Listen, portCount(wants), p.Connect, portCount(has)).WithHint("give both ranges the same length")
	}
	return nil
}

func (p Proxy) checkFamily(target HostPorts) error {
	a := target.Address()
	switch {
	case !a.IsValid():
		return nil
	case a.Is4() && !p.ConnectsTo4():
		return Errorf(Invalid, "connect address %s is IPv4, and a %s proxy connects over IPv6", a, p.Kind).WithHint("use %s", p.connectOther())
	case a.Is6() && !p.ConnectsTo6():
		return Errorf(Invalid, "connect address %s is IPv6, and a %s proxy connects over IPv4", a, p.Kind).WithHint("use %s", p.connectOther())
	}
	return nil
}

// listenOther is the kind that differs in the side that listens.
func (p Proxy) listenOther() ProxyKind {
	return map[ProxyKind]ProxyKind{V4ToV4: V6ToV4, V6ToV4: V4ToV4, V4ToV6: V6ToV6, V6ToV6: V4ToV6}[p.Kind]
}

// connectOther is the kind that differs in the side that connects.
func (p Proxy) connectOther() ProxyKind {
	return map[ProxyKind]ProxyKind{V4ToV4: V4ToV6, V4ToV6: V4ToV4, V6ToV4: V6ToV6, V6ToV6: V6ToV4}[p.Kind]
}

// clashProxy refuses two proxies that would listen on one port.
func clashProxy(has, asked Proxy) error {
	if has.Protocol != asked.Protocol || !has.Listen.Ports.Overlaps(asked.Listen.Ports) || !listenMeets(has, asked) {
		return nil
	}
	return Errorf(Conflict, "port proxy %s listens on %s %s", has, asked.Protocol, has.Listen.Ports.and(asked.Listen.Ports).text()).
		WithHint("delete it first, or choose another port")
}

// listenMeets reports whether a connection may be meant for both. A name may be
// any address of its family.
func listenMeets(a, b Proxy) bool {
	if !(a.ListensOn4() && b.ListensOn4()) && !(a.ListensOn6() && b.ListensOn6()) {
		return false
	}
	x, y := a.Listen.Address(), b.Listen.Address()
	return !x.IsValid() || !y.IsValid() || meets(x, y)
}

// clashProxyMapping refuses a proxy and a mapping that are for the same
// traffic. A proxy that listens on IPv6 stands beside a mapping, which is IPv4:
// together they publish a port over both.
func clashProxyMapping(p Proxy, m Mapping) bool {
	if (p.Protocol != m.Protocol && !m.IsWhole()) || !p.ListensOn4() || !p.Listen.Ports.Overlaps(m.Ports()) {
		return false
	}
	a := p.Listen.Address()
	return !a.IsValid() || meets(a, m.External.Address)
}

// checkProxyPort refuses a proxy on a port that a mapping or a proxy has.
func (c *Config) checkProxyPort(p Proxy) error {
	for _, m := range c.Mappings {
		if clashProxyMapping(p, m) {
			return Errorf(Conflict, "%s %s is mapped already: mapping %s", p.Protocol, p.Listen, m).
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
func (c *Config) checkMappingProxies(m Mapping) error {
	for _, p := range c.Proxies {
		if clashProxyMapping(p, m) {
			hint := "delete it first, or choose another external port"
			if m.IsWhole() {
				hint = "delete it first, or choose another external address"
			}
			return Errorf(Conflict, "port proxy %s listens on %s %s", p, p.Protocol, p.Listen).WithHint("%s", hint)
		}
	}
	return nil
}
