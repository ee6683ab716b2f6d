package config

import (
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
