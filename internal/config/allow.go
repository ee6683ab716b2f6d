package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// maxAllowed is how many further prefixes an endpoint may have.
const maxAllowed = 32

// endpointSettings are the keys of SetEndpoint and what each does with its value.
var endpointSettings = map[string]func(c *Config, e *model.Endpoint, value string, facts model.HostFacts) error{
	"aliases": func(c *Config, e *model.Endpoint, v string, _ model.HostFacts) (err error) {
		if e.Aliases, err = parseAliases(listOf(v)); err != nil {
			return err
		}
		return c.checkAliases(*e)
	},
	"allow": func(c *Config, e *model.Endpoint, v string, facts model.HostFacts) (err error) {
		if e.Allow, err = parseAllow(listOf(v)); err == nil {
			err = c.checkAllow(*e, facts)
		}
		return prefixed("allow", err)
	},
}

// listOf are the values of a setting; of "none" there are none.
func listOf(value string) []string {
	if value == "none" || value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

// SetEndpoint changes settings of an attached endpoint: all of them or, on error,
// none.
func (c *Config) SetEndpoint(name string, values map[string]string, facts model.HostFacts) (model.Endpoint, error) {
	i := slices.IndexFunc(c.Endpoints, func(e model.Endpoint) bool { return e.Name == name })
	if i < 0 {
		return model.Endpoint{}, c.notAttached(name)
	}
	keys := strings.Join(sortedKeys(endpointSettings), ", ")
	if len(values) == 0 {
		return model.Endpoint{}, model.Errorf(model.Invalid, "there is nothing to set").WithHint("give KEY=VALUE; keys are %s", keys)
	}
	e := c.Endpoints[i]
	for _, key := range sortedKeys(values) {
		set, known := endpointSettings[key]
		if !known {
			return model.Endpoint{}, model.Errorf(model.Invalid, "setting %q is not known", model.Clip(key)).WithHint("use %s", keys)
		}
		if err := set(c, &e, values[key], facts); err != nil {
			return model.Endpoint{}, err
		}
	}
	c.Endpoints = slices.Clone(c.Endpoints)
	c.Endpoints[i] = e
	return e, nil
}

// parseAllow reads further addresses and prefixes, sorted, each once.
func parseAllow(texts []string) ([]netip.Prefix, error) {
	if len(texts) > maxAllowed {
		return nil, model.Errorf(model.Invalid, "%d prefixes are given", len(texts)).WithHint("give up to %d, or one that holds them", maxAllowed)
	}
	var list []netip.Prefix
	for _, text := range texts {
		p, err := model.ParseAllowed(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list), nil
}

// checkAllow refuses further addresses that are somebody else's. What is outside
// the network's subnet is behind the endpoint alone; an address of the subnet may
// be allowed to several endpoints, which pass it to each other (RFC 5798).
func (c *Config) checkAllow(e model.Endpoint, facts model.HostFacts) error {
	n, err := c.Network(e.Network)
	if err != nil {
		return err
	}
	for _, p := range e.Allow {
		switch {
		case model.IsAnySource(p):
			continue
		case n.Holds(p):
			err = c.checkAllowInside(e, n, p, facts)
		case p.Overlaps(n.Subnet4()):
			err = model.Errorf(model.Conflict, "%s holds the subnet %s of network %q", p, n.Subnet4(), n.Name).WithHint("give the parts that are behind the endpoint, or 0.0.0.0/0 for one that forwards for its neighbours")
		default:
			err = c.checkAllowBehind(e, n, p, facts)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkAllowInside is for a prefix inside the network's subnet.
func (c *Config) checkAllowInside(e model.Endpoint, n model.Network, p netip.Prefix, facts model.HostFacts) error {
	taken := func(by string) error {
		return model.Errorf(model.Conflict, "%s is not free in network %q: %s", p, n.Name, by).WithHint("choose another, or give single addresses")
	}
	if p.Contains(n.Gateway4()) {
		return taken("the gateway has " + n.Gateway4().String())
	}
	if p.Contains(n.Subnet4().Addr()) || p.Contains(model.LastAddress(n.Subnet4())) {
		return taken("it holds the first or the last address of the subnet")
	}
	for _, other := range c.neighbours(n) {
		if other.Name != e.Name && p.Contains(other.Address4()) {
			return taken("endpoint " + other.Name + " has " + other.Address4().String())
		}
		if other.Name != e.Name && slices.ContainsFunc(other.Further(), func(o netip.Prefix) bool { return o != p && o.Overlaps(p) }) {
			return taken("endpoint " + other.Name + " is allowed a part of it")
		}
	}
	for _, r := range c.Reservations {
		if r.Network == n.Name && p.Contains(r.Address) && !isFor(r, e) {
			return taken(r.Address.String() + " is reserved for " + client(r))
		}
	}
	for _, l := range c.Leases {
		if l.Network == n.Name && p.Contains(l.Address) && l.MAC != e.MAC {
			return taken(l.Address.String() + " is leased to MAC " + string(l.MAC))
		}
	}
	for _, h := range hostsOwn(n, facts) {
		if p.Contains(h.Address4()) {
			return taken("the host has " + h.Address4().String())
		}
	}
	return nil
}

// checkAllowBehind is for a prefix outside the subnet, which then leads to the
// endpoint from the host and from networks of the compartment.
func (c *Config) checkAllowBehind(e model.Endpoint, n model.Network, p netip.Prefix, facts model.HostFacts) error {
	for _, other := range c.Networks {
		if other.Name != n.Name && n.Joins(other) && other.Subnet4().Overlaps(p) {
			return model.Errorf(model.Conflict, "%s overlaps network %q (%s)", p, other.Name, other.Subnet4()).WithHint("choose another prefix")
		}
	}
	for _, other := range c.Endpoints {
		m, err := c.Network(other.Network)
		if err != nil || other.Name == e.Name || !n.Joins(m) {
			continue
		}
		if slices.ContainsFunc(other.Further(), p.Overlaps) {
			return model.Errorf(model.Conflict, "%s is behind endpoint %q already", p, other.Name).WithHint("take it from there first: hostnat endpoint set %s allow=...", other.Name)
		}
	}
	if n.Unrouted() {
		return nil
	}
	for _, h := range facts.Reached() {
		if h.Prefix.Bits() > 1 && h.Prefix.Overlaps(p) {
			return model.Errorf(model.Conflict, "%s overlaps %s of the host (%s)", p, h.Prefix, h.Source).WithHint("choose another prefix, or a network in a --compartment")
		}
	}
	return nil
}

// checkNotAllowed refuses an address that another endpoint of the network is allowed.
func (c *Config) checkNotAllowed(e model.Endpoint, n model.Network) error {
	for _, other := range c.neighbours(n) {
		if p, is := other.Allowed(e.Address4()); is && other.Name != e.Name && n.Holds(p) {
			return model.Errorf(model.Conflict, "address %s is one that endpoint %q may have (%s)", e.Address4(), other.Name, p).WithHint("leave the address out to get a free one")
		}
	}
	return nil
}

// checkNotBehind refuses a subnet that an endpoint has behind it.
func (c *Config) checkNotBehind(subnet netip.Prefix, n model.Network) error {
	for _, e := range c.Endpoints {
		m, err := c.Network(e.Network)
		if err != nil || !n.Joins(m) {
			continue
		}
		for _, p := range m.Behind(e) {
			if p.Overlaps(subnet) {
				return model.Errorf(model.Conflict, "subnet %s overlaps %s, which is behind endpoint %q", subnet, p, e.Name).WithHint("choose another subnet")
			}
		}
	}
	return nil
}

// allowedIn are the parts of a network's subnet that its endpoints are allowed
// beside their own addresses: nobody else is given one.
func (c *Config) allowedIn(n model.Network) []model.AddressRange {
	var list []model.AddressRange
	for _, e := range c.EndpointsOf(n.Name) {
		for _, p := range e.Further() {
			if n.Holds(p) {
				list = append(list, model.AddressRange{Low: p.Addr(), High: model.LastAddress(p)})
			}
		}
	}
	return list
}
