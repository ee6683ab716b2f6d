package nat

import (
	"reflect"
	"slices"
)

// editTargets lets edit change each target of each mapping, and the mapping's
// NAT: it gets copies, and the i-th of the mapping's targets. What it changes
// takes the place of what other Configs may share.
func (c *Config) editTargets(edit func(m *Mapping, i int, t *Target)) {
	list := c.Mappings
	var m Mapping // one for all: that of a loop would be made on the heap each time
	var t Target
	for n := range c.Mappings {
		m = c.Mappings[n]
		for i := range m.Targets {
			t = m.Targets[i]
			if edit(&m, i, &t); t != m.Targets[i] {
				m.Targets = slices.Clone(m.Targets)
				m.Targets[i] = t
			}
		}
		if m.sharesWith(&c.Mappings[n]) {
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
func (c *Config) firstWith(is func(*Target) bool) int {
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
func (c *Config) dropTargetsIf(drop func(*Target) bool) {
	first := c.firstWith(drop)
	if first < 0 {
		return
	}
	isGone := func(t Target) bool { return drop(&t) }
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

// sharesWith reports whether nothing of m was changed since it was copied from o.
func (m *Mapping) sharesWith(o *Mapping) bool {
	return m.ID == o.ID && m.NAT == o.NAT && m.Protocol == o.Protocol && m.External == o.External &&
		isShared(m.Targets, o.Targets) && isShared(m.From, o.From)
}

func isShared[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// Equal reports whether the mappings are the same in everything.
func (m *Mapping) Equal(o *Mapping) bool {
	return m.sharesWith(o) || m.ID == o.ID && m.NAT == o.NAT && m.Protocol == o.Protocol && m.External == o.External &&
		slices.Equal(m.Targets, o.Targets) && slices.Equal(m.From, o.From)
}

// ChangedMappings compares two lists of mappings: those of after that are new or
// differ, and those of before that are gone.
func ChangedMappings(before, after []Mapping) (changed, gone []Mapping) {
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
	same := slices.EqualFunc(c.Networks, o.Networks, func(a, b Network) bool { return a.Equal(&b) }) &&
		slices.EqualFunc(c.Endpoints, o.Endpoints, func(a, b Endpoint) bool { return a.Equal(&b) })
	if !same {
		return false
	}
	for _, x := range []*Config{&c, &o} {
		x.Networks, x.Endpoints = nil, nil // which may be many, and are slow to compare by reflection
		x.Mappings, x.NextMapping, x.Leases, x.Learnt, x.Heard = nil, 0, nil, nil, nil
	}
	return reflect.DeepEqual(c, o)
}
