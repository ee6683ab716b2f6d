package config

import (
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// PutNetwork makes a network as it is wanted. Another subnet moves it, as
// RenumberNetwork does. moved says whether the host has to have another address
// for it.
func (c *Config) PutNetwork(w WantedNetwork, facts model.HostFacts, choose ChooseSubnet, place ChooseAddress, whole bool) (n model.Network, moved bool, err error) {
	i := slices.IndexFunc(c.Networks, func(n model.Network) bool { return n.Name == w.Name })
	if i < 0 {
		if err := c.createWanted(w, facts, choose); err != nil {
			return n, false, err
		}
		i, moved = len(c.Networks)-1, true
	} else if moved, err = c.moveWanted(w, facts, choose, place); err != nil {
		return n, false, err
	}
	n = c.Networks[i].Clone()
	if whole {
		d := defaultNetwork(n)
		d.Metadata = n.Metadata
		n = d
	}
	if n.Metadata, err = w.metadata(n.Metadata, w.Labels, w.Owner, whole); err != nil {
		return n, false, err
	}
	for _, s := range settingsOf(&w) {
		if err := networkSettings[s.key](&n, s.value); err != nil {
			return n, false, w.Refuse(s.file, prefixed(s.file, err))
		}
	}
	for _, p := range c.Proxies {
		if err := clashNameServer(p, n); err != nil {
			return n, false, w.Refuse("dns", err)
		}
	}
	c.Networks[i] = n
	return n, moved, nil
}

// createWanted adds the network; its settings come after.
func (c *Config) createWanted(w WantedNetwork, facts model.HostFacts, choose ChooseSubnet) error {
	adopt := false
	if w.Adopt != "" {
		if err := parseSwitch(w.Adopt, &adopt); err != nil {
			return w.Refuse("adopt", prefixed("adopt", err))
		}
	}
	spec := NetworkSpec{Name: w.Name, Type: w.Type, NAT: w.NAT, Bridge: w.Bridge, Compartment: w.Compartment, Adopt: adopt, DNS: w.DNS}
	var err error
	if spec.Subnet, err = w.only("subnets", w.Subnets); err != nil {
		return err
	}
	if spec.Gateway, err = w.only("gateways", w.Gateways); err != nil {
		return err
	}
	_, err = c.AddNetwork(spec, facts, choose)
	return w.At(err)
}

// only returns the value of a list that may hold one today.
func (p Place) only(key string, list []string) (string, error) {
	switch len(list) {
	case 0:
		return "", nil
	case 1:
		return list[0], nil
	}
	return "", p.Refuse(key, model.Errorf(model.Invalid, "%s: %d are given", key, len(list)).WithHint("give one, of IPv4"))
}

// moveWanted moves a network that is there to the subnet that is wanted, and
// refuses what cannot be changed.
func (c *Config) moveWanted(w WantedNetwork, facts model.HostFacts, choose ChooseSubnet, place ChooseAddress) (moved bool, err error) {
	n, err := c.Network(w.Name)
	if err != nil {
		return false, w.At(err)
	}
	if err := w.mayChange("network "+n.Name, n.Owner); err != nil {
		return false, err
	}
	if err := w.sameKind(n); err != nil {
		return false, err
	}
	subnet, err := w.only("subnets", w.Subnets)
	if err != nil {
		return false, err
	}
	if subnet != "" {
		p, err := model.ParseSubnet(subnet)
		if err != nil {
			return false, w.Refuse("subnets", err)
		}
		if moved = p != n.Subnet4(); moved {
			if _, err := c.RenumberNetwork(n.Name, subnet, facts, choose, place); err != nil {
				return false, w.Refuse("subnets", err)
			}
			if n, err = c.Network(w.Name); err != nil {
				return false, w.At(err)
			}
		}
	}
	text, err := w.only("gateways", w.Gateways)
	if err != nil || text == "" {
		return moved, err
	}
	g, err := model.ParseIPv4("gateway", text)
	if err == nil && g != n.Gateway4() {
		err = model.Errorf(model.Conflict, "the gateway of network %q is %s, and cannot become %s", n.Name, n.Gateway4(), g).WithHint("delete the network first, or leave gateways out")
	}
	return moved, w.Refuse("gateways", err)
}

// sameKind refuses to make another network of one that is there.
func (w WantedNetwork) sameKind(n model.Network) error {
	has := wantedNetwork(n)
	asked := w
	if w.Adopt != "" {
		adopt := false
		if err := parseSwitch(w.Adopt, &adopt); err != nil {
			return w.Refuse("adopt", prefixed("adopt", err))
		}
		asked.Adopt = wantedNetwork(model.Network{Adopted: adopt}).Adopt
	}
	if w.NAT == "" && w.Type == string(model.TypeInternal) {
		asked.NAT = model.NoNAT
	}
	fixed := []string{"type", "nat", "compartment", "bridge", "adopt"}
	old := FieldsOf(&has)
	for i, f := range FieldsOf(&asked) {
		if slices.Contains(fixed, f.Key) && f.Text() != "" && f.Text() != old[i].Text() {
			return w.Refuse(f.Key, model.Errorf(model.Conflict, "%s of network %q is %s, and cannot become %s", f.Key, n.Name, or(old[i].Text(), "none"), model.Clip(f.Text())).
				WithHint("delete the network first, or leave %s out", f.Key))
		}
	}
	return nil
}

// ReleaseEndpoints changes what can be changed of endpoints that are attached, and
// detaches those that have to be attached in another way. It returns those that are
// then to be attached, with everything that they keep.
func (c *Config) ReleaseEndpoints(list []WantedEndpoint, facts model.HostFacts, whole bool) (todo []WantedEndpoint, err error) {
	for _, w := range list {
		has, attached := c.attached(w.Name)
		if !attached {
			if w, err = w.new(); err != nil {
				return nil, err
			}
			todo = append(todo, w)
			continue
		}
		if err := w.mayChange("endpoint "+w.Name, has.Owner); err != nil {
			return nil, err
		}
		w, err := w.over(has, whole)
		if err != nil {
			return nil, err
		}
		stays, err := w.stays(has)
		if err != nil {
			return nil, err
		}
		if !stays {
			if err := c.DetachEndpoint(w.Name); err != nil {
				return nil, w.At(err)
			}
			todo = append(todo, w)
			continue
		}
		if err := c.resetEndpoint(w, has, facts); err != nil {
			return nil, err
		}
	}
	return todo, nil
}

// new checks what AddEndpoint does not: that one address alone is given, and that
// the owner is not a plugin.
func (w WantedEndpoint) new() (WantedEndpoint, error) {
	if _, err := w.only("addresses", w.Addresses); err != nil {
		return w, err
	}
	_, err := w.metadata(model.Metadata{}, w.Labels, w.Owner, true)
	return w, err
}

// over adds to what is wanted of an endpoint what it has and keeps.
func (w WantedEndpoint) over(has model.Endpoint, whole bool) (WantedEndpoint, error) {
	if _, err := w.only("addresses", w.Addresses); err != nil {
		return w, err
	}
	base := wantedEndpoint(has)
	if w.Netns != "" || w.PID != "" || w.TAP != "" || w.Port != "" {
		base.Netns, base.PID, base.TAP, base.Port = "", "", "", ""
		if w.TAP != "" || w.Port != "" {
			base.IfName = ""
		}
	}
	if w.Network != "" && w.Network != has.Network {
		base.Addresses, base.MAC = nil, ""
	}
	if whole {
		base.IfName, base.Aliases, base.Allow, base.Labels = "", nil, nil, nil
	}
	m, err := w.metadata(has.Metadata, w.Labels, w.Owner, whole)
	if err != nil {
		return w, err
	}
	overlay(&w, &base)
	w.Labels, w.Owner = m.Labels, m.Owner
	return w, nil
}

// stays reports whether an endpoint that is attached need not be attached anew.
func (w WantedEndpoint) stays(has model.Endpoint) (bool, error) {
	spec := w.Spec()
	e := model.Endpoint{Name: w.Name, Network: w.Network}
	if err := parseTarget(&e, spec); err != nil {
		return false, w.At(err)
	}
	if err := parseAddresses(&e, spec); err != nil {
		return false, w.At(err)
	}
	return sameEndpoint(has, e) == nil, nil
}

// resetEndpoint gives an endpoint that is attached the aliases, the further
// addresses and the metadata that are wanted.
func (c *Config) resetEndpoint(w WantedEndpoint, has model.Endpoint, facts model.HostFacts) error {
	e := has
	var err error
	if e.Aliases, err = parseAliases(w.Aliases); err == nil {
		err = c.checkAliases(e)
	}
	if err != nil {
		return w.Refuse("aliases", prefixed("aliases", err))
	}
	if e.Allow, err = parseAllow(w.Allow); err == nil {
		err = c.checkAllow(e, facts)
	}
	if err != nil {
		return w.Refuse("allow", prefixed("allow", err))
	}
	e.Metadata = model.Metadata{Labels: w.Labels, Owner: w.Owner}
	i := slices.IndexFunc(c.Endpoints, func(o model.Endpoint) bool { return o.Name == e.Name })
	c.Endpoints[i] = e
	return nil
}
