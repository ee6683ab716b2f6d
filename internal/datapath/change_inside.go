package datapath

import (
	"errors"
)

// ChangeInside turns what was into what is: parts of what Apply was told, the
// same but for networks, their and endpoints' interfaces, endpoints, the host's
// addresses, and interfaces that are outside. What both have is not looked at; it costs what they differ in.
// A part in which networks or addresses differ has to have all of them, as several
// may have one prefix or address.
//
// Apply has to come first, and again after an error.
func (d *Datapath) ChangeInside(was, is Config) error {
	a, o := d.applied, &d.objects
	if a == nil {
		return errUnknown
	}
	if err := checkFamily(is); err != nil {
		return err
	}
	d.applied = nil // until it has worked
	var gone orphans
	err := errors.Join(
		changeMap("gateways' ports", o.Pools, gatewayPools(was, a.local), gatewayPools(is, a.local), nil),
		each(d.insideTables(&gone), func(t table) error { return t.change(was, is) }),
		d.endOrphans(gone),
	)
	if len(gone.addresses) > 0 {
		err = errors.Join(err, d.endLost(Config{Pools: a.pools, HostAddresses: is.HostAddresses}, a.mappings))
	}
	if err != nil {
		return err
	}
	d.applied = a
	return nil
}
