package config

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// AddNAT adds a NAT.
func (c *Config) AddNAT(spec NATSpec) (model.NAT, error) {
	if err := model.CheckName("NAT", spec.Name); err != nil {
		return model.NAT{}, err
	}
	if spec.Name == model.NoNAT {
		return model.NAT{}, model.Errorf(model.Invalid, "NAT name %q is reserved: it says that a network is behind no NAT", model.NoNAT).WithHint("choose another name")
	}
	if _, err := c.NAT(spec.Name); err == nil {
		return model.NAT{}, model.Errorf(model.Conflict, "NAT %q exists already", spec.Name).WithHint("choose another name, or change it with 'hostnat nat set'")
	}
	profile := model.ProfileRFC
	if spec.Profile != "" {
		var err error
		if profile, err = parseProfile(spec.Profile); err != nil {
			return model.NAT{}, err
		}
	}
	n := model.NewNAT(spec.Name, 0, profile)
	n.Metadata = model.Metadata{Labels: spec.Labels, Owner: spec.Owner}
	if err := n.Check(); err != nil {
		return model.NAT{}, err
	}
	for _, link := range spec.ExternalInterfaces {
		if err := c.addInterface(&n, link); err != nil {
			return model.NAT{}, err
		}
	}
	for _, text := range spec.ExternalAddresses {
		if _, err := c.addAddress(&n, text); err != nil {
			return model.NAT{}, err
		}
	}
	n.ID = c.takeID()
	c.NATs = append(c.NATs, n)
	return n, nil
}

// DeleteNAT deletes a NAT that no network is behind.
func (c *Config) DeleteNAT(name string) error {
	if _, err := c.NAT(name); err != nil {
		return err
	}
	if name == model.DefaultNAT {
		return model.Errorf(model.Conflict, "NAT %q always exists", name).WithHint("change it with 'hostnat nat set'")
	}
	for _, n := range c.Networks {
		if n.NAT == name {
			return model.Errorf(model.Conflict, "network %q is behind NAT %q", n.Name, name).WithHint("delete the network first")
		}
	}
	c.NATs = slices.DeleteFunc(c.NATs, func(n model.NAT) bool { return n.Name == name })
	return nil
}

func (c *Config) addInterface(n *model.NAT, link string) error {
	if err := model.CheckLink("external interface", link); err != nil {
		return err
	}
	if err := c.checkOutsideLink(link); err != nil {
		return err
	}
	if !slices.Contains(n.ExternalInterfaces, link) {
		n.ExternalInterfaces = append(n.ExternalInterfaces, link)
	}
	return nil
}

// checkOutsideLink refuses a link of ours, and a network's bridge, as a NAT's outside.
func (c *Config) checkOutsideLink(link string) error {
	for _, net := range c.Networks {
		if net.Bridge == link {
			return model.Errorf(model.Conflict, "external interface %s is the bridge of network %q", link, net.Name).WithHint("use an interface of the outside")
		}
	}
	return model.CheckForeignLink("external interface", link)
}

// checkOutside refuses an external address that one of our networks has inside.
func (c *Config) checkOutside(a netip.Addr) error {
	if net, inside := c.networkHolding(a); inside {
		return model.Errorf(model.Conflict, "external address %s is inside network %q (%s)", a, net.Name, net.Subnet4()).WithHint("use an address of the host")
	}
	return nil
}

func (c *Config) natIndex(name string) (int, error) {
	i := slices.IndexFunc(c.NATs, func(n model.NAT) bool { return n.Name == name })
	if i < 0 {
		_, err := c.NAT(name)
		return 0, err
	}
	return i, nil
}
