package config

import (
	"reflect"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// editTargets lets edit change each target of each mapping, and the mapping's
// NAT: it gets copies, and the i-th of the mapping's targets. What it changes
// takes the place of what other Configs may share.
func (c *Config) editTargets(edit func(m *model.Mapping, i int, t *model.Target)) {
	list := c.Mappings
	var m model.Mapping // one for all: that of a loop would be made on the heap each time
	var t model.Target
	for n := range c.Mappings {
		m = c.Mappings[n]
		for i := range m.Targets {
			t = m.Targets[i]
			if edit(&m, i, &t); t != m.Targets[i] {
				m.Targets = slices.Clone(m.Targets)
				m.Targets[i] = t
			}
		}
		if m.SharesWith(&c.Mappings[n]) {
			continue
		}
		if &list[0] == &c.Mappings[0] {
			list = slices.Clone(list)
		}
		list[n] = m
	}
	c.Mappings = list
}

// firstWith is the index of the first mapping with such a target; -1: there is
// none. Every change asks this of all mappings, so nothing is copied.
func (c *Config) firstWith(is func(*model.Target) bool) int {
	for n := range c.Mappings {
		targets := c.Mappings[n].Targets
		for i := range targets {
			if is(&targets[i]) {
				return n
			}
		}
	}
	return -1
}

// dropTargetsIf takes targets away, and the mappings that then have none.
func (c *Config) dropTargetsIf(drop func(*model.Target) bool) {
	first := c.firstWith(drop)
	if first < 0 {
		return
	}
	isGone := func(t model.Target) bool { return drop(&t) }
	list := slices.Clone(c.Mappings[:first])
	for _, m := range c.Mappings[first:] {
		if slices.ContainsFunc(m.Targets, isGone) {
			m.Targets = slices.DeleteFunc(slices.Clone(m.Targets), isGone)
		}
		if len(m.Targets) > 0 {
			list = append(list, m)
		}
	}
	c.Mappings = list
}

// ChangedMappings compares two lists of mappings: those of after that are new or
// differ, and those of before that are gone.
func ChangedMappings(before, after []model.Mapping) (changed, gone []model.Mapping) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].ID < after[0].ID:
			gone = append(gone, before[0])
			before = before[1:]
		case len(before) == 0 || after[0].ID < before[0].ID:
			changed = append(changed, after[0])
			after = after[1:]
		default:
			if !before[0].Equal(&after[0]) {
				changed = append(changed, after[0])
			}
			before, after = before[1:], after[1:]
		}
	}
	return changed, gone
}

// EqualBesideMappings reports whether two configurations ask for the same but
// for their mappings.
func (c Config) EqualBesideMappings(o Config) bool {
	same := slices.EqualFunc(c.Networks, o.Networks, func(a, b model.Network) bool { return a.Equal(&b) }) &&
		slices.EqualFunc(c.Endpoints, o.Endpoints, func(a, b model.Endpoint) bool { return a.Equal(&b) })
	if !same {
		return false
	}
	for _, x := range []*Config{&c, &o} {
		x.Networks, x.Endpoints = nil, nil // which may be many, and are slow to compare by reflection
		x.Mappings, x.NextMapping, x.Leases, x.Discovered, x.Observed = nil, 0, nil, nil, nil
	}
	return reflect.DeepEqual(c, o)
}
