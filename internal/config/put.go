package config

import (
	"slices"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// The Put functions make a configuration as files want it, kind by kind. What is
// not mentioned stays as it is; if whole is set, it gets the value that it would
// have in a new object. Errors begin with the place in the file.

// PutPool adds a pool, or gives one that is there another size.
func (c *Config) PutPool(w wanted.Pool, whole bool) error {
	p, err := model.ParseSubnet(w.Prefix)
	if err != nil {
		return w.Refuse("prefix", err)
	}
	i := slices.IndexFunc(c.Pools, func(has model.Pool) bool { return has.Prefix == p })
	if i < 0 {
		_, err = c.AddPool(PoolSpec{Prefix: w.Prefix, Size: w.Size})
		return w.At(err)
	}
	if w.Size == "" && !whole {
		return nil
	}
	var other Config
	made, err := other.AddPool(PoolSpec{Prefix: w.Prefix, Size: w.Size})
	if err != nil {
		return w.At(err)
	}
	c.Pools[i] = made
	return nil
}

// PutNAT makes a NAT as it is wanted.
func (c *Config) PutNAT(w wanted.NAT, whole bool) (model.NAT, error) {
	i := slices.IndexFunc(c.NATs, func(n model.NAT) bool { return n.Name == w.Name })
	if i < 0 {
		if _, err := c.AddNAT(NATSpec{Name: w.Name, Profile: w.Profile}); err != nil {
			return model.NAT{}, w.At(err)
		}
		i = len(c.NATs) - 1
	}
	n := c.NATs[i].Clone()
	if err := w.MayChange("NAT "+n.Name, n.Owner); err != nil {
		return model.NAT{}, err
	}
	if err := useProfile(&n, w, whole); err != nil {
		return model.NAT{}, err
	}
	var err error
	if n.Metadata, err = w.Metadata(n.Metadata, w.Labels, w.Owner, whole); err != nil {
		return model.NAT{}, err
	}
	for _, s := range wanted.SettingsOf(&w) {
		if err := settings[s.Key](&n, s.Value); err != nil {
			return model.NAT{}, w.Refuse(s.File, prefixed(s.File, err))
		}
	}
	for _, link := range n.ExternalInterfaces {
		if err := c.checkOutsideLink(link); err != nil {
			return model.NAT{}, w.Refuse("externalInterfaces", err)
		}
	}
	if err := c.putAddresses(&n, w, whole); err != nil {
		return model.NAT{}, err
	}
	c.NATs[i] = n
	return n, nil
}

// useProfile gives a NAT the values of a profile if it is to have another one, or all
// that is not mentioned is to be as in a new one.
func useProfile(n *model.NAT, w wanted.NAT, whole bool) error {
	profile := n.Profile
	if w.Profile != "" || whole {
		var err error
		if profile, err = parseProfile(or(w.Profile, string(model.ProfileRFC))); err != nil {
			return w.Refuse("profile", err)
		}
	}
	switch {
	case whole:
		d := model.NewNAT(n.Name, n.ID, profile)
		d.ExternalAddresses, d.Metadata = n.ExternalAddresses, n.Metadata
		*n = d
	case profile != n.Profile:
		n.UseProfile(profile)
	}
	return nil
}

// putAddresses gives a NAT the external addresses that are wanted and no others.
func (c *Config) putAddresses(n *model.NAT, w wanted.NAT, whole bool) error {
	if w.ExternalAddresses == nil && !whole {
		return nil
	}
	had := n.ExternalAddresses
	n.ExternalAddresses = []model.ExternalAddress{}
	for _, text := range w.ExternalAddresses {
		if _, err := c.addAddress(n, text); err != nil {
			return w.Refuse("externalAddresses", err)
		}
	}
	for i := range n.ExternalAddresses {
		a := &n.ExternalAddresses[i]
		a.Added = slices.ContainsFunc(had, func(h model.ExternalAddress) bool { return h.Address == a.Address && h.Added })
	}
	return nil
}

// PutReservations makes all reservations as they are wanted: a client that has
// another address gives that back, and another client the address.
func (c *Config) PutReservations(list []wanted.Reservation, facts model.HostFacts, whole bool) error {
	var todo []wanted.Reservation
	for _, w := range list {
		r, err := parseReservation(ReservationSpec{Network: w.Network, MAC: w.MAC, Name: w.Name, Address: w.Address})
		if err != nil {
			return w.At(err)
		}
		isOld := func(has model.Reservation) bool {
			return has.Network == r.Network && (has.Address == r.Address || client(has) == client(r))
		}
		base := model.Metadata{}
		for _, has := range c.Reservations {
			if !isOld(has) {
				continue
			}
			if err := w.MayChange("the reservation of "+has.Address.String(), has.Owner); err != nil {
				return err
			}
			base = has.Metadata
		}
		if r.Metadata, err = w.Metadata(base, w.Labels, w.Owner, whole); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Reservations, func(has model.Reservation) bool { return has.Equal(&r) }) {
			continue
		}
		c.Reservations = slices.DeleteFunc(c.Reservations, isOld)
		w.Labels, w.Owner = r.Labels, r.Owner
		todo = append(todo, w)
	}
	for _, w := range todo {
		spec := ReservationSpec{Network: w.Network, MAC: w.MAC, Name: w.Name, Address: w.Address, Labels: w.Labels, Owner: w.Owner}
		if _, err := c.AddReservation(spec, facts); err != nil {
			return w.At(err)
		}
	}
	return nil
}
