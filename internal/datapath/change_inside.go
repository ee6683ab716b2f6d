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
	if err := is.checkFamily(); err != nil {
		return err
	}
	d.applied = nil // until it has worked
	var gone orphans
	err := errors.Join(
		changeMap("networks", o.Networks, networkValues(was), networkValues(is), &gone.networks),
		changeMap("inside prefixes", o.InsidePrefixes, prefixValues(was), prefixValues(is), nil),
		changeMap("subnets", o.Subnets, subnetValues(was), subnetValues(is), nil),
		changeMap("gateways' ports", o.Pools, gatewayPools(was, a.local), gatewayPools(is, a.local), nil),
		changeMap("broadcast addresses", o.Broadcasts, broadcastValues(was), broadcastValues(is), nil),
		changeMap("host addresses", o.HostAddresses, hostAddressValues(was), hostAddressValues(is), &gone.addresses),
		changeMap("endpoints", o.Endpoints, endpointValues(was), endpointValues(is), &gone.endpoints),
		changeMap("endpoints' MACs", o.ManagedMacs, managedMACs(was), managedMACs(is), nil),
		changeMap("inside interfaces", o.Insides, insideValues(was), insideValues(is), nil),
		changeMap("outside interfaces", o.Outsides, outsideValues(was), outsideValues(is), nil),
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
