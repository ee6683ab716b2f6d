package model

import "net/netip"

// Reservation keeps an address of a network for one client, whether it is
// attached by hostnat or asks by DHCP.
type Reservation struct {
	Network string
	MAC     MAC    // one of MAC and Name
	Name    string // of an endpoint, or the hostname that a DHCP client gives
	Address netip.Addr
	Metadata
}

// Remembered is the address that a detached endpoint had: it gets it again.
type Remembered struct {
	Network string
	Name    string
	Address netip.Addr
	MAC     MAC
}

// Equal reports whether the reservations are the same in everything.
func (r *Reservation) Equal(o *Reservation) bool {
	return r.Network == o.Network && r.MAC == o.MAC && r.Name == o.Name && r.Address == o.Address && r.Metadata.Equal(o.Metadata)
}
