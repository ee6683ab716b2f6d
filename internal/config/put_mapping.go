package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// MatchMappings returns, for each mapping that is wanted, the id of the one that is
// there in its place: with the same protocol and external side or, where that is not
// mentioned, that leads to the same. 0: there is none.
func (c *Config) MatchMappings(list []wanted.Mapping) ([]uint32, error) {
	ids := make([]uint32, len(list))
	byOutside := make(map[outside]uint32, len(c.Mappings))
	for i := range c.Mappings {
		byOutside[outsideOf(&c.Mappings[i])] = c.Mappings[i].ID
	}
	claimed := make(map[uint32]wanted.Place)
	parsed := make([]model.Mapping, len(list))
	for i, w := range list {
		m, err := parseMapping(mappingSpec(w))
		if err != nil {
			return nil, w.At(err)
		}
		parsed[i] = m
		ids[i] = byOutside[outsideOf(&m)]
		if other, twice := claimed[ids[i]]; ids[i] != 0 && twice {
			return nil, w.Refuse("external", model.Errorf(model.Invalid, "%s %s is there twice: line %d of %s has it too", m.Protocol, m.ExternalText(), other.Line, other.File))
		}
		claimed[ids[i]] = w.Place
	}
	for i, w := range list {
		if w.External != "" || ids[i] != 0 {
			continue
		}
		for _, m := range c.Mappings {
			if _, is := claimed[m.ID]; !is && m.Protocol == parsed[i].Protocol && leadsAs(w, m) {
				ids[i], claimed[m.ID] = m.ID, w.Place
				break
			}
		}
	}
	return ids, nil
}

// outside is what a mapping is known by.
type outside struct {
	protocol model.Protocol
	external model.AddrPorts
}

func outsideOf(m *model.Mapping) outside { return outside{m.Protocol, m.External} }

// mappingSpec is what AddMapping takes of it, but for the targets.
func mappingSpec(w wanted.Mapping) MappingSpec {
	return MappingSpec{Protocol: or(w.Protocol, model.TCP.String()), External: w.External, Internal: strings.Join(w.Internal, ","), Network: w.Network, From: w.From}
}

// leadsAs reports whether a mapping has the targets that are wanted, by their texts.
func leadsAs(w wanted.Mapping, m model.Mapping) bool {
	var asked, has []string
	for _, text := range w.Internal {
		if _, rest, cut := strings.Cut(text, "/"); cut {
			text = rest
		}
		asked = append(asked, text)
	}
	for _, t := range m.Targets {
		has = append(has, t.String())
	}
	slices.Sort(asked)
	slices.Sort(has)
	return slices.Equal(asked, has)
}

// ReleaseMappings returns the mappings that are to be added, and takes those out
// that they come in the place of. What is as it is wanted stays.
func (c *Config) ReleaseMappings(list []wanted.Mapping, ids []uint32, whole bool) (todo []PutMapping, err error) {
	gone := make(map[uint32]bool)
	for i, w := range list {
		var had model.Mapping
		if ids[i] != 0 {
			if had, err = c.Mapping(ids[i]); err != nil {
				return nil, w.At(err)
			}
			if err := w.MayChange("mapping "+had.String(), had.Owner); err != nil {
				return nil, err
			}
			w = mappingOver(w, had, whole)
		}
		m, err := c.wantedTargets(w, had, whole)
		if err != nil {
			return nil, err
		}
		if ids[i] != 0 {
			m.ID = ids[i]
			if sameMapping(had, m) && had.Metadata.Equal(m.Metadata) {
				continue
			}
			gone[m.ID] = true
		}
		force := false
		if w.Force != "" {
			if err := parseSwitch(w.Force, &force); err != nil {
				return nil, w.Refuse("force", prefixed("force", err))
			}
		}
		todo = append(todo, PutMapping{Place: w.Place, Mapping: m, Force: force})
	}
	if len(todo) > 0 { // a copy of its own, with room for all: AddWanted is not to copy it each time
		list := slices.DeleteFunc(slices.Clone(c.Mappings), func(m model.Mapping) bool { return gone[m.ID] })
		c.Mappings = slices.Grow(list, len(todo))
	}
	return todo, nil
}

// PutMapping is a mapping that is to be added. One with an id had it before.
type PutMapping struct {
	wanted.Place
	model.Mapping
	Force bool
}

// mappingOver adds to what is wanted of a mapping what it has and keeps.
func mappingOver(w wanted.Mapping, has model.Mapping, whole bool) wanted.Mapping {
	base := wanted.OfMapping(has)
	if whole {
		base.From, base.Labels = nil, nil
	}
	if !slices.Equal(w.Internal, base.Internal) {
		base.Network, base.Clients = "", nil
	}
	wanted.Overlay(&w, &base)
	return w
}

// wantedTargets is the mapping that is wanted, with what its targets lead to now.
func (c *Config) wantedTargets(w wanted.Mapping, had model.Mapping, whole bool) (model.Mapping, error) {
	m, err := parseMapping(mappingSpec(w))
	if err != nil {
		return m, w.At(err)
	}
	if m.Metadata, err = w.Metadata(had.Metadata, w.Labels, w.Owner, whole); err != nil {
		return m, err
	}
	for name, text := range w.Clients {
		if _, err := model.ParseMAC(text); err != nil {
			return m, w.Refuse("clients", prefixed("clients: "+model.Clip(name), err))
		}
	}
	switch {
	case len(w.Internal) == 0:
		return m, w.Refuse("internal", model.Errorf(model.Invalid, "the mapping leads to nothing").WithHint("give internal: ENDPOINT:PORT"))
	case len(w.Internal) > maxTargets:
		return m, w.Refuse("internal", model.Errorf(model.Invalid, "the mapping has %d targets", len(w.Internal)).WithHint("a mapping may have %d", maxTargets))
	case m.IsOneToOne() && len(w.Internal) > 1:
		return m, w.Refuse("internal", model.Errorf(model.Invalid, "the mapping has several targets, and a whole address leads to one").WithHint("name one endpoint"))
	}
	if w.Network != "" {
		if _, err := c.Network(w.Network); err != nil {
			return m, w.Refuse("network", err)
		}
	}
	for _, text := range w.Internal {
		t, err := c.wantedTarget(w, m, text)
		if err == nil {
			err = c.checkBeside(m.Targets, t)
		}
		if err != nil {
			return m, w.Refuse("internal", err)
		}
		m.Targets = append(m.Targets, t)
	}
	return m, w.At(c.resolveNAT(&m, ""))
}

// wantedTarget reads "[NETWORK/]ENDPOINT:PORTS" or "[NETWORK/]A:PORTS", without the
// ports for a whole address. An endpoint that is not attached is waited for.
func (c *Config) wantedTarget(w wanted.Mapping, m model.Mapping, text string) (model.Target, error) {
	network := w.Network
	if of, rest, qualified := strings.Cut(text, "/"); qualified {
		if _, err := c.Network(of); err != nil {
			return model.Target{}, err
		}
		network, text = of, rest
	}
	find := c.resolveTarget
	if m.IsOneToOne() {
		find = func(text, network string) (model.Target, error) {
			var whole model.Mapping
			err := c.resolveOneToOne(&whole, MappingSpec{Internal: text, Network: network})
			if len(whole.Targets) == 0 {
				return model.Target{}, err
			}
			return whole.Targets[0], err
		}
	}
	t, err := find(text, network)
	host, ports, hasPorts := model.CutPort(text)
	client := w.Clients[host]
	if client == "" && model.CodeOf(err) != model.NotFound || model.CodeOf(err) == model.Invalid && err != nil {
		return t, err
	}
	if network == "" {
		if client != "" {
			err = model.Errorf(model.Invalid, "the network of the DHCP client %q is not said", model.Clip(host))
		}
		if err != nil {
			err = cmp.Or(asError(err), model.Errorf(model.NotFound, "%v", err)).WithHint("attach it, or say in which network it will be: network: NAME")
		}
		return t, err
	}
	if err := model.CheckName("endpoint", host); err != nil {
		return t, err
	}
	t = model.Target{Endpoint: host, Network: network, Internal: model.AddrPorts{Address: netip.IPv4Unspecified()}}
	if client != "" {
		t.MAC, _ = model.ParseMAC(client) // was read before
		c.followLease(&t)
	}
	if hasPorts {
		t.Internal.Ports, err = model.ParsePortRange("internal", ports)
		return t, err
	}
	return t, nil
}

func asError(err error) *model.Error {
	e, _ := err.(*model.Error)
	return e
}

// AddWanted adds a mapping that ReleaseMappings has returned, as the last one of
// the list.
func (c *Config) AddWanted(p PutMapping, choose ChooseExternal) (model.Mapping, error) {
	m, err := c.addResolved(p.Mapping, choose)
	return m, p.At(err)
}

// KeepIDs gives mappings that were added with AddWanted, by their ids, those that they
// had before.
func (c *Config) KeepIDs(ids map[uint32]uint32) {
	if len(ids) == 0 {
		return
	}
	list := slices.Clone(c.Mappings)
	for i := range list {
		if id := ids[list[i].ID]; id != 0 {
			list[i].ID = id
		}
	}
	slices.SortFunc(list, func(a, b model.Mapping) int { return cmp.Compare(a.ID, b.ID) })
	c.Mappings = list
}
