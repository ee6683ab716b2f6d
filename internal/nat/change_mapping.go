package nat

import (
	"fmt"
	"net/netip"
	"slices"
)

// Resolved reports whether the mapping's target has an address now: a mapping
// to an endpoint's name has none while the endpoint is detached.
func (m Mapping) Resolved() bool { return !m.Internal.Addr().IsUnspecified() }

// String names the mapping in a refusal: "3 (tcp *:8080 to 172.16.1.2:80)".
func (m Mapping) String() string {
	return fmt.Sprintf("%d (%s %s to %s)", m.ID, m.Protocol, externalText(m.External), m.Target())
}

// Target is what the mapping leads to: "c1:80", or "172.16.1.2:80".
func (m Mapping) Target() string {
	if m.Endpoint != "" {
		return fmt.Sprintf("%s:%d", m.Endpoint, m.Internal.Port())
	}
	return m.Internal.String()
}

func externalText(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return fmt.Sprintf("*:%d", a.Port())
	}
	return a.String()
}

// ChooseExternal chooses the external port of a mapping that has all but that.
type ChooseExternal func(Mapping) (uint16, error)

// AddMapping adds a static mapping. One that exists with the same target is
// returned as it is. If the spec names no external port, choose does: a new one
// each time.
func (c *Config) AddMapping(spec MappingSpec, choose ChooseExternal) (Mapping, error) {
	m, err := parseMapping(spec)
	if err != nil {
		return Mapping{}, err
	}
	if err := c.resolveTarget(&m, spec); err != nil {
		return Mapping{}, err
	}
	if err := c.resolveNAT(&m, spec.NAT); err != nil {
		return Mapping{}, err
	}
	if err := c.checkOutside(m.External.Addr()); err != nil {
		return Mapping{}, err
	}
	if m.External.Port() == 0 {
		port, err := choose(m)
		if err != nil {
			return Mapping{}, err
		}
		m.External = netip.AddrPortFrom(m.External.Addr(), port)
	}
	for _, has := range c.Mappings {
		if sameMapping(has, m) {
			return has, nil
		}
		if err := clash(has, m); err != nil {
			return Mapping{}, err
		}
	}
	m.ID = c.NextMapping
	c.NextMapping++
	c.Mappings = append(c.Mappings, m)
	return m, nil
}

// DeleteMapping deletes the mapping of that id.
func (c *Config) DeleteMapping(id uint32) error {
	if _, err := c.Mapping(id); err != nil {
		return err
	}
	c.Mappings = slices.DeleteFunc(c.Mappings, func(m Mapping) bool { return m.ID == id })
	return nil
}

// parseMapping reads the parts that need no configuration.
func parseMapping(spec MappingSpec) (Mapping, error) {
	m := Mapping{From: []netip.Prefix{}}
	var err error
	if m.Protocol, err = parseMappingProtocol(spec.Protocol); err != nil {
		return m, err
	}
	if m.External, err = parseMappingExternal(spec.External); err != nil {
		return m, err
	}
	if spec.Force && m.External.Port() == 0 {
		return m, Errorf(Invalid, "there is no external port to take by force").WithHint("name it with --external, or leave --force out")
	}
	for _, text := range spec.From {
		p, err := ParseRemotes(text)
		if err != nil {
			return m, err
		}
		m.From = append(m.From, p)
	}
	slices.SortFunc(m.From, netip.Prefix.Compare)
	m.From = slices.Compact(m.From)
	return m, nil
}

func parseMappingProtocol(s string) (Protocol, error) {
	p, err := ParseProtocol(s)
	if err != nil || p == ICMP {
		return 0, Errorf(Invalid, "a mapping cannot be for protocol %q", clip(s)).WithHint("use tcp or udp")
	}
	return p, nil
}

// resolveNAT takes the NAT of the target's network, which any other would contradict.
func (c *Config) resolveNAT(m *Mapping, asked string) error {
	network, err := c.Network(m.Network)
	if err != nil {
		return err
	}
	if asked != "" && asked != network.NAT {
		if _, err := c.NAT(asked); err != nil {
			return err
		}
		return Errorf(Conflict, "network %q is behind NAT %q, not %q", network.Name, network.NAT, asked).WithHint("use --nat %s", network.NAT)
	}
	m.NAT = network.NAT
	return nil
}

func sameMapping(a, b Mapping) bool {
	return a.Protocol == b.Protocol && a.External == b.External && a.Internal == b.Internal &&
		a.Network == b.Network && a.Endpoint == b.Endpoint && slices.Equal(a.From, b.From)
}

// clash refuses two mappings that one packet could be meant for.
func clash(has, asked Mapping) error {
	if has.Protocol != asked.Protocol || has.External.Port() != asked.External.Port() {
		return nil
	}
	a, b := has.External.Addr(), asked.External.Addr()
	if !meets(a, b) {
		return nil
	}
	if a == b && has.Internal == asked.Internal && has.Network == asked.Network && !slices.Equal(has.From, asked.From) {
		return Errorf(Conflict, "mapping %s allows other remotes", has).WithHint("delete it first")
	}
	return Errorf(Conflict, "%s %s is mapped already: mapping %s", asked.Protocol, externalText(asked.External), has).
		WithHint("delete it first, or choose another external port")
}
