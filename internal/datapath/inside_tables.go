package datapath

import (
	"errors"

	"github.com/cilium/ebpf"
)

// table is one of the data path's tables whose rows follow from a configuration.
type table struct {
	sync   func(is Config) error      // makes the rows those of is, whatever there is
	change func(was, is Config) error // the same where there are those of was, or of a part of it
}

// tableOf makes a table; the keys of rows that go are added to removed, if that is not nil.
func tableOf[K, V comparable](what string, m *ebpf.Map, rows func(Config) map[K]V, removed *[]K) table {
	return table{
		sync:   func(is Config) error { return syncMap(what, m, rows(is), removed, nil) },
		change: func(was, is Config) error { return changeMap(what, m, rows(was), rows(is), removed) },
	}
}

// insideTables are what follows from networks, endpoints, the host's addresses and
// its links, in the order in which they are written.
func (d *Datapath) insideTables(gone *orphans) []table {
	o := &d.objects
	return []table{
		tableOf("networks", o.Networks, networkValues, &gone.networks),
		tableOf("inside prefixes", o.InsidePrefixes, prefixValues, nil),
		tableOf("subnets", o.Subnets, subnetValues, nil),
		tableOf("broadcast addresses", o.Broadcasts, broadcastValues, nil),
		tableOf("host addresses", o.HostAddresses, hostAddressValues, &gone.addresses),
		tableOf("endpoints", o.Endpoints, endpointValues, &gone.endpoints),
		tableOf("endpoints' MACs", o.ManagedMacs, managedMACs, nil),
		tableOf("inside interfaces", o.Insides, insideValues, nil),
		tableOf("outside interfaces", o.Outsides, outsideValues, nil),
	}
}

// each does it for each table, whatever becomes of those before.
func each(tables []table, do func(table) error) error {
	var errs []error
	for _, t := range tables {
		errs = append(errs, do(t))
	}
	return errors.Join(errs...)
}
