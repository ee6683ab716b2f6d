package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// client names the one whom the address is kept for.
func client(r model.Reservation) string {
	if r.MAC != "" {
		return "MAC " + string(r.MAC)
	}
	return "name " + r.Name
}

// AddReservation keeps an address for a client. The very same one again is no error.
func (c *Config) AddReservation(spec ReservationSpec, facts model.HostFacts) (model.Reservation, error) {
	network, err := c.Network(spec.Network)
	if err != nil {
		return model.Reservation{}, err
	}
	if err := checkReservable(network); err != nil {
		return model.Reservation{}, err
	}
	r, err := parseReservation(spec)
	if err != nil {
		return model.Reservation{}, err
	}
	r.Metadata = model.Metadata{Labels: spec.Labels, Owner: spec.Owner}
	if err := r.Check(); err != nil {
		return model.Reservation{}, err
	}
	for _, has := range c.Reservations {
		if has.Network == r.Network && has.MAC == r.MAC && has.Name == r.Name && has.Address == r.Address {
			return has, sameMetadata("the reservation of "+r.Address.String(), has.Metadata, r.Metadata)
		}
		if has.Network == r.Network && client(has) == client(r) {
			return model.Reservation{}, model.Errorf(model.Conflict, "%s has address %s of network %q reserved already", client(r), has.Address, r.Network).
				WithHint("delete that reservation first: hostnat reservation delete %s %s", r.Network, has.Address)
		}
	}
	asking := model.Endpoint{Name: r.Name, MAC: r.MAC, Network: r.Network, Addresses: []netip.Addr{r.Address}}
	if err := c.checkReserved(asking, network); err != nil {
		return model.Reservation{}, err
	}
	if err := checkHosts(network, r.Address, facts); err != nil {
		return model.Reservation{}, err
	}
	c.Reservations = append(c.Reservations, r)
	return r, nil
}

// DeleteReservation gives a reserved address back.
func (c *Config) DeleteReservation(network, address string) error {
	if _, err := c.Network(network); err != nil {
		return err
	}
	a, err := model.ParseIPv4("address", address)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Reservations, func(r model.Reservation) bool { return r.Network == network && r.Address == a })
	if i < 0 {
		return model.Errorf(model.NotFound, "address %s of network %q is not reserved", a, network).WithHint("'hostnat reservation list' shows those that are")
	}
	c.Reservations = slices.Delete(c.Reservations, i, i+1)
	return nil
}

func parseReservation(spec ReservationSpec) (r model.Reservation, err error) {
	r = model.Reservation{Network: spec.Network}
	switch {
	case spec.MAC != "" && spec.Name != "":
		return r, model.Errorf(model.Invalid, "the reservation is for both MAC %s and name %s", model.Clip(spec.MAC), model.Clip(spec.Name)).WithHint("give one of --mac and --name")
	case spec.MAC == "" && spec.Name == "":
		return r, model.Errorf(model.Invalid, "the reservation is for nobody").WithHint("give --mac or --name")
	case spec.MAC != "":
		r.MAC, err = model.ParseMAC(spec.MAC)
	default:
		r.Name = spec.Name
		err = model.CheckName("endpoint", spec.Name)
	}
	if err != nil {
		return r, err
	}
	if spec.Address == "" {
		return r, model.Errorf(model.Invalid, "the reservation has no address").WithHint("give --address")
	}
	r.Address, err = model.ParseIPv4("address", spec.Address)
	return r, err
}

// checkReserved refuses to keep an address that somebody else has. The client
// itself may have it.
func (c *Config) checkReserved(asking model.Endpoint, network model.Network) error {
	if err := checkHostAddress("address", asking.Address4(), network.Subnet4()); err != nil {
		return err
	}
	if asking.Address4() == network.Gateway4() {
		return model.Errorf(model.Conflict, "address %s is the gateway of network %q", asking.Address4(), network.Name).WithHint("reserve another")
	}
	for _, e := range c.EndpointsOf(network.Name) {
		if e.Address4() == asking.Address4() && e.Name != asking.Name && e.MAC != asking.MAC {
			return model.Errorf(model.Conflict, "address %s belongs to endpoint %q", e.Address4(), e.Name).WithHint("reserve another, or detach the endpoint first")
		}
	}
	return c.checkKept(asking)
}

// ReservedFor returns the address that a network keeps for a client, by its MAC
// first; not valid if there is none.
func (c *Config) ReservedFor(network string, mac model.MAC, name string) netip.Addr {
	var byName netip.Addr
	for _, r := range c.Reservations {
		switch {
		case r.Network != network:
		case r.MAC != "" && r.MAC == mac:
			return r.Address
		case r.Name != "" && strings.EqualFold(r.Name, name):
			byName = r.Address
		}
	}
	return byName
}
