package nat

import "strings"

// IsWhole reports whether the mapping has a whole external address: every
// protocol, every port of TCP and UDP (RFC 3022 section 2.1, Basic NAT).
func (m Mapping) IsWhole() bool { return m.Protocol == AnyProtocol }

// Ports are those that the mapping has outside: of a whole address all.
func (m Mapping) Ports() PortRange {
	if m.IsWhole() {
		return PortRange{Low: 1, High: 65535}
	}
	return m.External.Ports
}

// sharesPorts reports whether there is a port that both mappings have on their addresses.
func (m *Mapping) sharesPorts(o *Mapping) bool {
	if m.IsWhole() || o.IsWhole() {
		return true
	}
	return m.Protocol == o.Protocol && m.External.Ports.Overlaps(o.External.Ports)
}

// parseWholeExternal reads "A": an address outside and nothing else.
func parseWholeExternal(s string) (AddrPorts, error) {
	const hint = "write --external A, an address of the NAT"
	if s == "" {
		return AddrPorts{}, Errorf(Invalid, "a mapping of every protocol has no external address").WithHint(hint)
	}
	if host, port, has := cutPort(s); has {
		return AddrPorts{}, Errorf(Invalid, "external %q has the port %q, and a mapping of every protocol has all", clip(s), clip(port)).
			WithHint("write --external %s, or --protocol tcp or udp", clip(host))
	}
	a, err := parseMappingAddress(s)
	if err != nil {
		return AddrPorts{}, err
	}
	if a.IsUnspecified() || a.IsLoopback() {
		return AddrPorts{}, Errorf(Invalid, "external address %s cannot be mapped as a whole", clip(s)).WithHint(hint)
	}
	return AddrPorts{Address: a}, nil
}

// resolveWhole reads the one target of a whole address: "ENDPOINT" or "A".
func (c *Config) resolveWhole(m *Mapping, spec MappingSpec) error {
	text := spec.Internal
	if strings.Contains(text, ",") {
		return Errorf(Invalid, "internal %q is several targets, and a whole address leads to one", clip(text)).WithHint("name one endpoint")
	}
	if host, port, has := cutPort(text); has {
		return Errorf(Invalid, "internal %q has the port %q, and a mapping of every protocol has all", clip(text), clip(port)).
			WithHint("write --internal %s, or --protocol tcp or udp", clip(host))
	}
	var t Target
	var err error
	if !looksLikeAddress(text) && !strings.Contains(text, ":") {
		err = c.targetEndpoint(&t, text, spec.Network)
	} else {
		err = c.targetAddress(&t, text, spec.Network)
	}
	m.Targets = []Target{t}
	return err
}

// checkWhole refuses a second external address for one endpoint, which could
// leave with either, and the address of another NAT.
func (c *Config) checkWhole(m Mapping) error {
	t := m.Targets[0]
	for _, has := range c.Mappings {
		if !has.IsWhole() || has.External == m.External || !has.leadsTo(c, t) {
			continue
		}
		return Errorf(Conflict, "%s has external address %s already: mapping %s", t, has.External.Address, has).
			WithHint("delete it first, or map ports of %s", m.External.Address)
	}
	for _, n := range c.NATs {
		for _, a := range n.ExternalAddresses {
			if a.Address == m.External.Address && n.Name != m.NAT {
				return Errorf(Conflict, "external address %s is NAT %q's, and %s is behind NAT %q", a.Address, n.Name, t, m.NAT).
					WithHint("use an address of NAT %q", m.NAT)
			}
		}
	}
	return nil
}

// leadsTo reports whether one of the mapping's targets is t, now or by its name.
func (m Mapping) leadsTo(c *Config, t Target) bool {
	for _, has := range m.Targets {
		if has.Endpoint != "" && has.Endpoint == t.Endpoint && has.Network == t.Network {
			return true
		}
		if has.Resolved() && has.Internal.Address == t.Internal.Address && c.sameCompartment(has.Network, t.Network) {
			return true
		}
	}
	return false
}

func (c *Config) sameCompartment(a, b string) bool {
	one, err := c.Network(a)
	if err != nil {
		return false
	}
	other, err := c.Network(b)
	return err == nil && one.Joins(other)
}

// clashWhole is the refusal of two mappings on one address of which one has all of it.
func clashWhole(has, asked Mapping) error {
	if has.IsWhole() {
		return Errorf(Conflict, "%s is mapped as a whole already: mapping %s", has.External.Address, has).
			WithHint("delete it first, or choose another external address")
	}
	return Errorf(Conflict, "%s cannot be mapped as a whole: it has mapping %s", asked.External.Address, has).
		WithHint("delete it first, or choose another external address")
}
