package nat

import (
	"net/netip"
	"slices"
	"strings"
)

// ChooseExternal chooses the lowest external port of a mapping that has all but
// its external ports; it is followed by as many as the mapping has.
type ChooseExternal func(m Mapping) (uint16, error)

// AddMapping adds a static mapping. One that exists with the same targets is
// returned as it is. If the spec names no external port, choose does: a new one
// each time.
func (c *Config) AddMapping(spec MappingSpec, choose ChooseExternal) (Mapping, error) {
	m, err := parseMapping(spec)
	if err != nil {
		return Mapping{}, err
	}
	if err := c.resolveTargets(&m, spec); err != nil {
		return Mapping{}, err
	}
	if err := c.resolveNAT(&m, spec.NAT); err != nil {
		return Mapping{}, err
	}
	if err := c.checkOutside(m.External.Address); err != nil {
		return Mapping{}, err
	}
	if m.IsWhole() {
		err = c.checkWhole(m)
	} else {
		err = m.giveExternal(choose)
	}
	if err != nil {
		return Mapping{}, err
	}
	for i := range c.Mappings {
		has := &c.Mappings[i]
		if !has.meets(&m) {
			continue
		}
		if sameMapping(*has, m) {
			return *has, nil
		}
		return Mapping{}, clash(*has, m)
	}
	if err := c.checkMappingProxies(m); err != nil {
		return Mapping{}, err
	}
	m.ID = c.NextMapping
	c.NextMapping++
	c.Mappings = append(slices.Clip(c.Mappings), m)
	return m, nil
}

// DeleteMapping deletes the mapping of that id.
func (c *Config) DeleteMapping(id uint32) error {
	i, err := c.mappingIndex(id)
	if err != nil {
		return err
	}
	c.Mappings = slices.Concat(c.Mappings[:i], c.Mappings[i+1:])
	return nil
}

// parseMapping reads the parts that need no configuration.
func parseMapping(spec MappingSpec) (Mapping, error) {
	m := Mapping{From: []netip.Prefix{}}
	var err error
	if m.Protocol, err = parseMappingProtocol(spec.Protocol); err != nil {
		return m, err
	}
	if m.IsWhole() {
		m.External, err = parseWholeExternal(spec.External)
	} else {
		m.External, err = parseMappingExternal(spec.External)
	}
	if err != nil {
		return m, err
	}
	if spec.Force && !m.IsWhole() && m.External.Ports.Low == 0 {
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
	if strings.EqualFold(s, AnyProtocol.String()) {
		return AnyProtocol, nil
	}
	p, err := ParseProtocol(s)
	if err != nil || p == ICMP {
		return 0, Errorf(Invalid, "a mapping cannot be for protocol %q", clip(s)).WithHint("use tcp or udp, or any for all of an address")
	}
	return p, nil
}

// giveExternal holds the external ports against the targets', which are all
// equally many, and has them chosen if there are none yet.
func (m *Mapping) giveExternal(choose ChooseExternal) error {
	inside := m.Targets[0].Internal
	if m.External.Ports.Low == 0 {
		low, err := choose(*m)
		if err != nil {
			return err
		}
		m.External.Ports = PortRange{Low: low, High: low + uint16(inside.Count()-1)}
		return nil
	}
	if m.External.Count() != inside.Count() {
		return Errorf(Invalid, "external %s has %s, but internal %s has %s", externalText(m.External), portCount(m.External.Count()), m.Targets[0], portCount(inside.Count())).
			WithHint("give both ranges the same length")
	}
	return nil
}

// resolveNAT takes the NAT of the targets' network, which any other would contradict.
func (c *Config) resolveNAT(m *Mapping, asked string) error {
	network, err := c.Network(m.Targets[0].Network)
	if err != nil {
		return err
	}
	if !network.HasNAT() {
		return Errorf(Conflict, "network %q is behind no NAT: nothing outside reaches it", network.Name).WithHint("use a network that is behind a NAT, or a port proxy (hostnat proxy add)")
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
	return a.Protocol == b.Protocol && a.External == b.External && sameTargets(a, b) && slices.Equal(a.From, b.From)
}

// sameTargets: their order does not matter.
func sameTargets(a, b Mapping) bool {
	return len(a.Targets) == len(b.Targets) &&
		!slices.ContainsFunc(a.Targets, func(t Target) bool { return !slices.Contains(b.Targets, t) })
}

// meets reports whether one packet could be meant for both mappings with equal
// right. One on an address beside one on all addresses do not meet: the more
// special one has the packet.
func (m *Mapping) meets(o *Mapping) bool {
	return m.External.Address == o.External.Address && m.sharesPorts(o)
}

// clash is the refusal of a mapping that meets another.
func clash(has, asked Mapping) error {
	if has.External == asked.External && sameTargets(has, asked) {
		return Errorf(Conflict, "mapping %s allows other remotes", has).WithHint("delete it first")
	}
	if has.IsWhole() || asked.IsWhole() {
		return clashWhole(has, asked)
	}
	if has.External.IsRange() || asked.External.IsRange() {
		both := AddrPorts{Address: asked.External.Address, Ports: has.External.Ports.and(asked.External.Ports)}
		return Errorf(Conflict, "%s %s overlaps mapping %s at %s", asked.Protocol, externalText(asked.External), has, externalText(both)).
			WithHint("delete it first, or choose other external ports")
	}
	return Errorf(Conflict, "%s %s is mapped already: mapping %s", asked.Protocol, externalText(asked.External), has).
		WithHint("delete it first, or choose another external port")
}
