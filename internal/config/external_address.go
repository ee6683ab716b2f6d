package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// AddAddress gives a NAT an external address, "A" or "A:LO-HI". An address may
// have several ranges that do not overlap. What the NAT has already is no error.
func (c *Config) AddAddress(natName, text string) (model.ExternalAddress, error) {
	i, err := c.natIndex(natName)
	if err != nil {
		return model.ExternalAddress{}, err
	}
	n := c.NATs[i].Clone()
	a, err := c.addAddress(&n, text)
	if err != nil {
		return model.ExternalAddress{}, err
	}
	c.NATs[i] = n
	return a, nil
}

// RemoveAddress takes an external address from a NAT: "A" with all its ranges,
// or the range "A:LO-HI" alone.
func (c *Config) RemoveAddress(natName, text string) error {
	i, err := c.natIndex(natName)
	if err != nil {
		return err
	}
	address, err := model.ParseExternalAddress(text)
	if err != nil {
		return err
	}
	whole := !strings.Contains(text, ":")
	n := c.NATs[i].Clone()
	n.ExternalAddresses = slices.DeleteFunc(n.ExternalAddresses, func(e model.ExternalAddress) bool {
		return e.Address == address.Address && (whole || e.Ports == address.Ports)
	})
	if len(n.ExternalAddresses) == len(c.NATs[i].ExternalAddresses) {
		return model.Errorf(model.NotFound, "NAT %q has no fixed external address %s", natName, text).WithHint("'hostnat address list' shows those it has")
	}
	c.NATs[i] = n
	return nil
}

// MarkAdded notes that the host does not have an address of a NAT by itself:
// hostnat adds it to an interface.
func (c *Config) MarkAdded(natName string, a netip.Addr) {
	for _, n := range c.NATs {
		for i := range n.ExternalAddresses {
			if n.Name == natName && n.ExternalAddresses[i].Address == a {
				n.ExternalAddresses[i].Added = true
			}
		}
	}
}

func (c *Config) addAddress(n *model.NAT, text string) (model.ExternalAddress, error) {
	a, err := model.ParseExternalAddress(text)
	if err != nil {
		return model.ExternalAddress{}, err
	}
	if err := c.checkOutside(a.Address); err != nil {
		return model.ExternalAddress{}, err
	}
	var addresses []netip.Addr
	ranges := 1
	for _, has := range n.ExternalAddresses {
		if !slices.Contains(addresses, has.Address) {
			addresses = append(addresses, has.Address)
		}
		if has.Address != a.Address {
			continue
		}
		if has.Ports == a.Ports {
			return has, nil
		}
		if has.Ports.Overlaps(a.Ports) {
			return model.ExternalAddress{}, model.Errorf(model.Conflict, "NAT %q has %s with ports %s already", n.Name, a.Address, has.Ports).
				WithHint("remove it first, or give ports beside these")
		}
		a.Added = has.Added
		ranges++
	}
	switch known := slices.Contains(addresses, a.Address); {
	case ranges > model.MaxRanges:
		return model.ExternalAddress{}, model.Errorf(model.Conflict, "NAT %q has %d port ranges on %s already", n.Name, model.MaxRanges, a.Address).WithHint("remove one first")
	case !known && len(addresses) == model.MaxAddresses:
		return model.ExternalAddress{}, model.Errorf(model.Conflict, "NAT %q has %d external addresses already", n.Name, model.MaxAddresses).WithHint("remove one first, or create another NAT")
	}
	n.ExternalAddresses = append(n.ExternalAddresses, a)
	return a, nil
}
