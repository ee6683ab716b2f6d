package nat

import (
	"net/netip"
	"slices"
)

func newNAT(name string, id uint32, p Profile) NAT {
	n := NAT{
		Name: name, ID: id,
		ExternalInterfaces: []string{}, ExternalAddresses: []ExternalAddress{},
		Pooling: Paired, Exhaustion: Prohibited,
	}
	n.useProfile(p)
	return n
}

func (n *NAT) useProfile(p Profile) {
	n.Profile = p
	n.Timeouts, n.TCPFiltering = p.Defaults()
	n.UDPFiltering = n.TCPFiltering
	n.UDPInboundRefresh = false
	n.HoldDown = p.HoldDown()
}

func (n NAT) clone() NAT {
	n.ExternalInterfaces = slices.Clone(n.ExternalInterfaces)
	n.ExternalAddresses = slices.Clone(n.ExternalAddresses)
	return n
}

// AddNAT adds a NAT.
func (c *Config) AddNAT(spec NATSpec) (NAT, error) {
	if err := CheckName("NAT", spec.Name); err != nil {
		return NAT{}, err
	}
	if spec.Name == NoNAT {
		return NAT{}, Errorf(Invalid, "NAT name %q is reserved: it says that a network is behind no NAT", NoNAT).WithHint("choose another name")
	}
	if _, err := c.NAT(spec.Name); err == nil {
		return NAT{}, Errorf(Conflict, "NAT %q exists already", spec.Name).WithHint("choose another name, or change it with 'hostnat nat set'")
	}
	profile := ProfileRFC
	if spec.Profile != "" {
		var err error
		if profile, err = parseProfile(spec.Profile); err != nil {
			return NAT{}, err
		}
	}
	n := newNAT(spec.Name, 0, profile)
	for _, link := range spec.ExternalInterfaces {
		if err := c.addInterface(&n, link); err != nil {
			return NAT{}, err
		}
	}
	for _, text := range spec.ExternalAddresses {
		if _, err := c.addAddress(&n, text); err != nil {
			return NAT{}, err
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
	if name == DefaultNAT {
		return Errorf(Conflict, "NAT %q always exists", name).WithHint("change it with 'hostnat nat set'")
	}
	for _, n := range c.Networks {
		if n.NAT == name {
			return Errorf(Conflict, "network %q is behind NAT %q", n.Name, name).WithHint("delete the network first")
		}
	}
	c.NATs = slices.DeleteFunc(c.NATs, func(n NAT) bool { return n.Name == name })
	return nil
}

func (c *Config) addInterface(n *NAT, link string) error {
	if err := CheckLink("external interface", link); err != nil {
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

// checkOutsideLink refuses a network's bridge as a NAT's outside.
func (c *Config) checkOutsideLink(link string) error {
	for _, net := range c.Networks {
		if net.Bridge == link {
			return Errorf(Conflict, "external interface %s is the bridge of network %q", link, net.Name).WithHint("use an interface of the outside")
		}
	}
	return nil
}

// checkOutside refuses an external address that one of our networks has inside.
func (c *Config) checkOutside(a netip.Addr) error {
	if net, inside := c.networkHolding(a); inside {
		return Errorf(Conflict, "external address %s is inside network %q (%s)", a, net.Name, net.Subnet).WithHint("use an address of the host")
	}
	return nil
}

func (c *Config) natIndex(name string) (int, error) {
	i := slices.IndexFunc(c.NATs, func(n NAT) bool { return n.Name == name })
	if i < 0 {
		_, err := c.NAT(name)
		return 0, err
	}
	return i, nil
}
