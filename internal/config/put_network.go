package config

import (
	"slices"
	"strconv"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// PutNetwork makes a network as it is wanted. Another subnet moves it, as
// RenumberNetwork does. moved says whether the host has to have another address
// for it.
func (c *Config) PutNetwork(w wanted.Network, facts model.HostFacts, choose ChooseSubnet, place ChooseAddress, whole bool) (n model.Network, moved bool, err error) {
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
		d := wanted.DefaultNetwork(n)
		d.Metadata = n.Metadata
		n = d
	}
	if n.Metadata, err = w.Metadata(n.Metadata, w.Labels, w.Owner, whole); err != nil {
		return n, false, err
	}
	for _, s := range wanted.SettingsOf(&w) {
		if err := networkSettings[s.Key](&n, s.Value); err != nil {
			return n, false, w.Refuse(s.File, prefixed(s.File, err))
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
func (c *Config) createWanted(w wanted.Network, facts model.HostFacts, choose ChooseSubnet) error {
	adopt := false
	if w.Adopt != "" {
		if err := parseSwitch(w.Adopt, &adopt); err != nil {
			return w.Refuse("adopt", prefixed("adopt", err))
		}
	}
	spec := NetworkSpec{Name: w.Name, Type: w.Type, NAT: w.NAT, Bridge: w.Bridge, Compartment: w.Compartment, Adopt: adopt, DNS: w.DNS}
	var err error
	if spec.Subnet, err = w.Only("subnets", w.Subnets); err != nil {
		return err
	}
	if spec.Gateway, err = w.Only("gateways", w.Gateways); err != nil {
		return err
	}
	_, err = c.AddNetwork(spec, facts, choose)
	return w.At(err)
}

// moveWanted moves a network that is there to the subnet that is wanted, and
// refuses what cannot be changed.
func (c *Config) moveWanted(w wanted.Network, facts model.HostFacts, choose ChooseSubnet, place ChooseAddress) (moved bool, err error) {
	n, err := c.Network(w.Name)
	if err != nil {
		return false, w.At(err)
	}
	if err := w.MayChange("network "+n.Name, n.Owner); err != nil {
		return false, err
	}
	if err := sameKind(w, n); err != nil {
		return false, err
	}
	subnet, err := w.Only("subnets", w.Subnets)
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
	text, err := w.Only("gateways", w.Gateways)
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
func sameKind(w wanted.Network, n model.Network) error {
	has := wanted.OfNetwork(n)
	asked := w
	if w.Adopt != "" {
		adopt := false
		if err := parseSwitch(w.Adopt, &adopt); err != nil {
			return w.Refuse("adopt", prefixed("adopt", err))
		}
		asked.Adopt = wanted.OfNetwork(model.Network{Adopted: adopt}).Adopt
	}
	if w.NAT == "" && model.NetworkType(w.Type).WithoutNAT() {
		asked.NAT = model.NoNAT
	}
	fixed := []string{"type", "nat", "compartment", "bridge", "adopt"}
	old := wanted.FieldsOf(&has)
	for i, f := range wanted.FieldsOf(&asked) {
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
func (c *Config) ReleaseEndpoints(list []wanted.Endpoint, facts model.HostFacts, whole bool) (todo []wanted.Endpoint, err error) {
	for _, w := range list {
		has, attached := c.Attached(w.Name)
		if !attached {
			if w, err = checkNew(w); err != nil {
				return nil, err
			}
			todo = append(todo, w)
			continue
		}
		if err := w.MayChange("endpoint "+w.Name, has.Owner); err != nil {
			return nil, err
		}
		w, err := endpointOver(w, has, whole)
		if err != nil {
			return nil, err
		}
		same, err := stays(w, has)
		if err != nil {
			return nil, err
		}
		if !same {
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

// checkNew checks what AddEndpoint does not: that one address alone is given, and that
// the owner is not a plugin.
func checkNew(w wanted.Endpoint) (wanted.Endpoint, error) {
	if _, err := w.Only("addresses", w.Addresses); err != nil {
		return w, err
	}
	_, err := w.Metadata(model.Metadata{}, w.Labels, w.Owner, true)
	return w, err
}

// endpointOver adds to what is wanted of an endpoint what it has and keeps.
func endpointOver(w wanted.Endpoint, has model.Endpoint, whole bool) (wanted.Endpoint, error) {
	if _, err := w.Only("addresses", w.Addresses); err != nil {
		return w, err
	}
	base := wanted.OfEndpoint(has)
	if w.Netns != "" || w.PID != "" || w.TAP != "" || w.Port != "" {
		base.Netns, base.PID, base.TAP, base.Port = "", "", "", ""
		base.Create, base.User, base.Group, base.Queues, base.VNetHdr = "", "", "", "", ""
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
	m, err := w.Metadata(has.Metadata, w.Labels, w.Owner, whole)
	if err != nil {
		return w, err
	}
	wanted.Overlay(&w, &base)
	w.Labels, w.Owner = m.Labels, m.Owner
	return w, nil
}

// stays reports whether an endpoint that is attached need not be attached anew.
func stays(w wanted.Endpoint, has model.Endpoint) (bool, error) {
	spec, err := SpecOf(w)
	if err != nil {
		return false, err
	}
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
func (c *Config) resetEndpoint(w wanted.Endpoint, has model.Endpoint, facts model.HostFacts) error {
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

// SpecOf is what AddEndpoint takes of an endpoint in a file.
func SpecOf(w wanted.Endpoint) (EndpointSpec, error) {
	s := EndpointSpec{
		Network: w.Network, Name: w.Name, Netns: w.Netns, PID: w.PID, TAP: w.TAP, Port: w.Port, MAC: w.MAC, IfName: w.IfName,
		Aliases: w.Aliases, Allow: w.Allow, Labels: w.Labels, Owner: w.Owner,
	}
	if len(w.Addresses) > 0 {
		s.Address = w.Addresses[0]
	}
	s.Make = model.TAP{Made: w.Create == "true", User: w.User, Group: w.Group, VNetHdr: w.VNetHdr == "true"}
	if w.Queues != "" {
		var err error
		if s.Make.Queues, err = strconv.Atoi(w.Queues); err != nil {
			return s, w.Refuse("queues", model.Errorf(model.Invalid, "queues %q is not a number", model.Clip(w.Queues)))
		}
	}
	return s, nil
}
