package config

import (
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// sharesPorts reports whether there is a port that both mappings have on their addresses.
func sharesPorts(m *model.Mapping, o *model.Mapping) bool {
	if m.IsOneToOne() || o.IsOneToOne() {
		return true
	}
	return m.Protocol == o.Protocol && m.External.Ports.Overlaps(o.External.Ports)
}

// parseOneToOneExternal reads "A": an address outside and nothing else.
func parseOneToOneExternal(s string) (model.AddrPorts, error) {
	const hint = "write --external A, an address of the NAT"
	if s == "" {
		return model.AddrPorts{}, model.Errorf(model.Invalid, "a mapping of every protocol has no external address").WithHint(hint)
	}
	if host, port, has := model.CutPort(s); has {
		return model.AddrPorts{}, model.Errorf(model.Invalid, "external %q has the port %q, and a mapping of every protocol has all", model.Clip(s), model.Clip(port)).
			WithHint("write --external %s, or --protocol tcp or udp", model.Clip(host))
	}
	a, err := parseMappingAddress(s)
	if err != nil {
		return model.AddrPorts{}, err
	}
	if a.IsUnspecified() || a.IsLoopback() {
		return model.AddrPorts{}, model.Errorf(model.Invalid, "external address %s cannot be mapped as a whole", model.Clip(s)).WithHint(hint)
	}
	return model.AddrPorts{Address: a}, nil
}

// resolveOneToOne reads the one target of a whole address: "ENDPOINT" or "A".
func (c *Config) resolveOneToOne(m *model.Mapping, spec MappingSpec) error {
	text := spec.Internal
	if strings.Contains(text, ",") {
		return model.Errorf(model.Invalid, "internal %q is several targets, and a whole address leads to one", model.Clip(text)).WithHint("name one endpoint")
	}
	if host, port, has := model.CutPort(text); has {
		return model.Errorf(model.Invalid, "internal %q has the port %q, and a mapping of every protocol has all", model.Clip(text), model.Clip(port)).
			WithHint("write --internal %s, or --protocol tcp or udp", model.Clip(host))
	}
	var t model.Target
	var err error
	if !model.LooksLikeAddress(text) && !strings.Contains(text, ":") {
		err = c.targetEndpoint(&t, text, spec.Network)
	} else {
		err = c.targetAddress(&t, text, spec.Network)
	}
	m.Targets = []model.Target{t}
	return err
}

// checkOneToOne refuses a second external address for one endpoint, which could
// leave with either, and the address of another NAT.
func (c *Config) checkOneToOne(m model.Mapping) error {
	t := m.Targets[0]
	for _, has := range c.Mappings {
		if !has.IsOneToOne() || has.External == m.External || !leadsTo(has, c, t) {
			continue
		}
		return model.Errorf(model.Conflict, "%s has external address %s already: mapping %s", t, has.External.Address, has).
			WithHint("delete it first, or map ports of %s", m.External.Address)
	}
	for _, n := range c.NATs {
		for _, a := range n.ExternalAddresses {
			if a.Address == m.External.Address && n.Name != m.NAT {
				return model.Errorf(model.Conflict, "external address %s is NAT %q's, and %s is behind NAT %q", a.Address, n.Name, t, m.NAT).
					WithHint("use an address of NAT %q", m.NAT)
			}
		}
	}
	return nil
}

// leadsTo reports whether one of the mapping's targets is t, now or by its name.
func leadsTo(m model.Mapping, c *Config, t model.Target) bool {
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

// clashOneToOne is the refusal of two mappings on one address of which one has all of it.
func clashOneToOne(has, asked model.Mapping) error {
	if has.IsOneToOne() {
		return model.Errorf(model.Conflict, "%s is mapped as a whole already: mapping %s", has.External.Address, has).
			WithHint("delete it first, or choose another external address")
	}
	return model.Errorf(model.Conflict, "%s cannot be mapped as a whole: it has mapping %s", asked.External.Address, has).
		WithHint("delete it first, or choose another external address")
}
