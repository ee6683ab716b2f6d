package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// ChooseExternal chooses the lowest external port of a mapping that has all but
// its external ports; it is followed by as many as the mapping has.
type ChooseExternal func(m model.Mapping) (uint16, error)

// AddMapping adds a static mapping. One that exists with the same targets is
// returned as it is. If the spec names no external port, choose does: a new one
// each time.
func (c *Config) AddMapping(spec MappingSpec, choose ChooseExternal) (model.Mapping, error) {
	m, err := parseMapping(spec)
	if err != nil {
		return model.Mapping{}, err
	}
	if err := c.resolveTargets(&m, spec); err != nil {
		return model.Mapping{}, err
	}
	if err := c.resolveNAT(&m, spec.NAT); err != nil {
		return model.Mapping{}, err
	}
	c.Mappings = slices.Clip(c.Mappings) // others may share it
	return c.addResolved(m, choose)
}

// addResolved is AddMapping for one whose targets are known. What the list has
// beyond its end is nobody else's.
func (c *Config) addResolved(m model.Mapping, choose ChooseExternal) (model.Mapping, error) {
	err := c.checkOutside(m.External.Address)
	if err != nil {
		return model.Mapping{}, err
	}
	if m.IsOneToOne() {
		err = c.checkOneToOne(m)
	} else {
		err = giveExternal(&m, choose)
	}
	if err != nil {
		return model.Mapping{}, err
	}
	for i := range c.Mappings {
		has := &c.Mappings[i]
		if !mappingsMeet(has, &m) {
			continue
		}
		if sameMapping(*has, m) {
			return *has, sameMetadata(fmt.Sprintf("mapping %d", has.ID), has.Metadata, m.Metadata)
		}
		return model.Mapping{}, clash(*has, m)
	}
	if err := c.checkMappingProxies(m); err != nil {
		return model.Mapping{}, err
	}
	m.ID = c.NextMapping
	c.NextMapping++
	c.Mappings = append(c.Mappings, m)
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
func parseMapping(spec MappingSpec) (model.Mapping, error) {
	m := model.Mapping{From: []netip.Prefix{}, Metadata: model.Metadata{Labels: spec.Labels, Owner: spec.Owner}}
	err := m.Check()
	if err != nil {
		return m, err
	}
	if m.Protocol, err = parseMappingProtocol(spec.Protocol); err != nil {
		return m, err
	}
	if m.IsOneToOne() {
		m.External, err = parseOneToOneExternal(spec.External)
	} else {
		m.External, err = parseMappingExternal(spec.External)
	}
	if err != nil {
		return m, err
	}
	if spec.Force && !m.IsOneToOne() && m.External.Ports.Low == 0 {
		return m, model.Errorf(model.Invalid, "there is no external port to take by force").WithHint("name it with --external, or leave --force out")
	}
	for _, text := range spec.From {
		p, err := model.ParseRemotes(text)
		if err != nil {
			return m, err
		}
		m.From = append(m.From, p)
	}
	slices.SortFunc(m.From, netip.Prefix.Compare)
	m.From = slices.Compact(m.From)
	return m, nil
}

func parseMappingProtocol(s string) (model.Protocol, error) {
	if strings.EqualFold(s, model.AnyProtocol.String()) {
		return model.AnyProtocol, nil
	}
	p, err := model.ParseProtocol(s)
	if err != nil || p == model.ICMP {
		return 0, model.Errorf(model.Invalid, "a mapping cannot be for protocol %q", model.Clip(s)).WithHint("use tcp or udp, or any for all of an address")
	}
	return p, nil
}

// giveExternal holds the external ports against the targets', which are all
// equally many, and has them chosen if there are none yet.
func giveExternal(m *model.Mapping, choose ChooseExternal) error {
	inside := m.Targets[0].Internal
	if m.External.Ports.Low == 0 {
		low, err := choose(*m)
		if err != nil {
			return err
		}
		m.External.Ports = model.PortRange{Low: low, High: low + uint16(inside.Count()-1)}
		return nil
	}
	if m.External.Count() != inside.Count() {
		return model.Errorf(model.Invalid, "external %s has %s, but internal %s has %s", model.ExternalText(m.External), portCount(m.External.Count()), m.Targets[0], portCount(inside.Count())).
			WithHint("give both ranges the same length")
	}
	return nil
}

// resolveNAT takes the NAT of the targets' network, which any other would contradict.
func (c *Config) resolveNAT(m *model.Mapping, asked string) error {
	network, err := c.Network(m.Targets[0].Network)
	if err != nil {
		return err
	}
	if !network.HasNAT() {
		return model.Errorf(model.Conflict, "network %q is behind no NAT: nothing outside reaches it", network.Name).WithHint("use a network that is behind a NAT, or a port proxy (hostnat proxy add)")
	}
	if asked != "" && asked != network.NAT {
		if _, err := c.NAT(asked); err != nil {
			return err
		}
		return model.Errorf(model.Conflict, "network %q is behind NAT %q, not %q", network.Name, network.NAT, asked).WithHint("use --nat %s", network.NAT)
	}
	m.NAT = network.NAT
	return nil
}

func sameMapping(a, b model.Mapping) bool {
	return a.Protocol == b.Protocol && a.External == b.External && sameTargets(a, b) && slices.Equal(a.From, b.From)
}

// sameTargets: their order does not matter.
func sameTargets(a, b model.Mapping) bool {
	return len(a.Targets) == len(b.Targets) &&
		!slices.ContainsFunc(a.Targets, func(t model.Target) bool { return !slices.Contains(b.Targets, t) })
}

// mappingsMeet reports whether one packet could be meant for both mappings with equal
// right. One on an address beside one on all addresses do not meet: the more
// special one has the packet.
func mappingsMeet(m *model.Mapping, o *model.Mapping) bool {
	return m.External.Address == o.External.Address && sharesPorts(m, o)
}

// clash is the refusal of a mapping that meets another.
func clash(has, asked model.Mapping) error {
	if has.External == asked.External && sameTargets(has, asked) {
		return model.Errorf(model.Conflict, "mapping %s allows other remotes", has).WithHint("delete it first")
	}
	if has.IsOneToOne() || asked.IsOneToOne() {
		return clashOneToOne(has, asked)
	}
	if has.External.IsRange() || asked.External.IsRange() {
		both := model.AddrPorts{Address: asked.External.Address, Ports: and(has.External.Ports, asked.External.Ports)}
		return model.Errorf(model.Conflict, "%s %s overlaps mapping %s at %s", asked.Protocol, model.ExternalText(asked.External), has, model.ExternalText(both)).
			WithHint("delete it first, or choose other external ports")
	}
	return model.Errorf(model.Conflict, "%s %s is mapped already: mapping %s", asked.Protocol, model.ExternalText(asked.External), has).
		WithHint("delete it first, or choose another external port")
}
