package model

import (
	"cmp"
	"net/netip"
	"time"
)

// Lease is an address that a network's DHCP server has given to a client, or
// keeps from everybody.
type Lease struct {
	Network  string
	Address  netip.Addr
	MAC      MAC
	ClientID string // option 61 (RFC 2132 section 9.14) in hexadecimal; empty: the client sent none
	Hostname string // what the client calls itself: one DNS label in lower case; empty: nothing of use
	State    LeaseState
	Since    time.Time // when this client first got this address
	Expires  time.Time // of a declined one: when it may be given out again
}

// LeaseState says what an address is to its client.
type LeaseState string

// The states of a lease. One that is expired or released is kept: the client
// gets the same address when it comes back, unless others need it.
const (
	LeaseOffered  LeaseState = "offered"  // for seconds; not stored
	LeaseBound    LeaseState = "bound"    // the client uses it
	LeaseExpired  LeaseState = "expired"  // was not renewed
	LeaseReleased LeaseState = "released" // the client gave it back
	LeaseDeclined LeaseState = "declined" // somebody else uses it, said the client (RFC 2131 section 4.3.3)
)

// At returns the lease as it is at a moment: a bound one whose time has passed
// is expired.
func (l Lease) At(now time.Time) Lease {
	if l.State == LeaseBound && !now.Before(l.Expires) {
		l.State = LeaseExpired
	}
	return l
}

// Holds reports whether the address may not be given to anybody else now.
func (l Lease) Holds(now time.Time) bool {
	switch l.State {
	case LeaseBound, LeaseOffered, LeaseDeclined:
		return now.Before(l.Expires)
	}
	return false
}

// Compare orders leases by network and address.
func (l Lease) Compare(other Lease) int {
	return cmp.Or(cmp.Compare(l.Network, other.Network), l.Address.Compare(other.Address))
}
