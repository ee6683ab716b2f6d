package datapath

import (
	"errors"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// checkFamily returns an error for the first address that these programs cannot
// have: they know IPv4 alone, and in their tables 0 is any address. What may be left
// out is not valid, and no error.
func (c Config) checkFamily() error {
	for _, p := range c.Pools {
		for _, a := range p.Addresses {
			if err := isIPv4("an external address", a.Address); err != nil {
				return err
			}
		}
	}
	for _, n := range c.Networks {
		list := []netip.Addr{n.Subnet.Addr()}
		for _, p := range n.HostOverlap {
			list = append(list, p.Addr())
		}
		if err := errors.Join(isIPv4("a network's prefix", list...), mayBeIPv4("a gateway", n.Gateway)); err != nil {
			return err
		}
	}
	for _, i := range c.Insides {
		if err := mayBeIPv4("an endpoint's address", i.Address); err != nil {
			return err
		}
	}
	for _, e := range c.Endpoints {
		if err := isIPv4("an endpoint's address", e.Address); err != nil {
			return err
		}
	}
	for a := range c.HostAddresses {
		if err := isIPv4("an address of the host", a); err != nil {
			return err
		}
	}
	for _, w := range c.OneToOne {
		if err := errors.Join(isIPv4("a one-to-one mapping", w.External, w.Internal), areIPv4("whom a mapping lets in", w.From)); err != nil {
			return err
		}
	}
	return errors.Join(leasesAreIPv4(c.Leases), mappingsAreIPv4(c.Mappings))
}

func leasesAreIPv4(list []Lease) error {
	for _, l := range list {
		if err := isIPv4("a lease", l.Address); err != nil {
			return err
		}
	}
	return nil
}

func mappingsAreIPv4(list map[uint32]Mapping) error {
	for _, m := range list {
		addresses := []netip.Addr{m.External.Address}
		for _, t := range m.Targets {
			addresses = append(addresses, t.Internal.Address)
		}
		if err := errors.Join(isIPv4("a mapping", addresses...), areIPv4("whom a mapping lets in", m.From)); err != nil {
			return err
		}
	}
	return nil
}

func areIPv4(what string, prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		if err := isIPv4(what, p.Addr()); err != nil {
			return err
		}
	}
	return nil
}

func mayBeIPv4(what string, a netip.Addr) error {
	if !a.IsValid() {
		return nil
	}
	return isIPv4(what, a)
}

func isIPv4(what string, addresses ...netip.Addr) error {
	for _, a := range addresses {
		if !a.Is4() {
			return model.Errorf(model.Invalid, "%s is %v: the data path translates IPv4 only", what, a)
		}
	}
	return nil
}
