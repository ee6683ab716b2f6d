package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// effects are the rows that live sessions go by and that went or changed.
type effects struct {
	orphans
	settings []uint32 // NATs that have others
	pools    []kernel.PoolKey
}

// configured are the tables whose rows follow from a configuration, in the order in which
// they are written: all there is to say of a new one is here. Only the rows of
// mappings depend on what the kernel has too, and are written by writeMappings.
func (d *Datapath) configured(e *effects) []table {
	o, now := &d.objects, d.readClock()
	nats := func(c Config) map[uint32]kernel.Nat { return d.limitEndpoints(natValues(c)) }
	insides := func(c Config) map[uint32]kernel.Inside { return stamped(insideValues(c), c, d.secret) }
	leases := func(c Config) map[kernel.EndpointKey]kernel.Lease { return leaseValues(c.Leases, now) }
	return []table{
		rows[kernel.RouteMtuKey, uint32]{what: "MTUs of routes", in: o.RouteMtus, of: routeMTUValues},
		rows[uint32, kernel.Nat]{what: "NATs", in: o.Nats, of: nats, gone: &e.nats, changed: &e.settings},
		poolRows{rows[kernel.PoolKey, kernel.Pool]{what: "external addresses", in: o.Pools, of: allPools, gone: &e.pools, changed: &e.pools}, d.indexAll},
		rows[uint32, kernel.Network]{what: "networks", in: o.Networks, of: networkValues, gone: &e.networks},
		rows[kernel.PrefixKey, uint32]{what: "inside prefixes", in: o.InsidePrefixes, of: prefixValues},
		rows[kernel.SubnetKey, uint32]{what: "subnets", in: o.Subnets, of: subnetValues},
		rows[uint32, uint32]{what: "broadcast addresses", in: o.Broadcasts, of: broadcastValues},
		rows[uint32, kernel.HostAddress]{what: "host addresses", in: o.HostAddresses, of: hostAddressValues, gone: &e.addresses},
		rows[kernel.EndpointKey, kernel.Endpoint]{what: "endpoints", in: o.Endpoints, of: endpointValues, gone: &e.endpoints},
		rows[kernel.StationKey, uint32]{what: "endpoints' MACs", in: o.ManagedMacs, of: managedMACs},
		rows[uint32, kernel.Inside]{what: "inside interfaces", in: o.Insides, of: insides},
		rows[uint32, kernel.Outside]{what: "outside interfaces", in: o.Outsides, of: outsideValues},
		rows[uint32, kernel.OneToOne]{what: "mapped addresses", in: o.OneToOneIn, of: oneToOneIn},
		rows[kernel.EndpointKey, kernel.OneToOne]{what: "mapped inside addresses", in: o.OneToOneOut, of: oneToOneOut},
		rows[kernel.SubnetKey, uint32]{what: "endpoints' further addresses", in: o.Behind, of: behindValues, gone: &e.behind},
		rows[kernel.SourceKey, uint32]{what: "endpoints' further sources", in: o.Sources, of: sourceValues},
		rows[kernel.EndpointKey, kernel.Lease]{what: "leases", in: o.Leases, of: leases},
		rows[kernel.AllowedKey, uint32]{what: "allowed remotes", in: o.Allowed, of: Config.allowed},
	}
}

// table is what those of configured can do.
type table interface {
	// write makes the rows those of is. Those of was are there; nil: whatever is
	// found there. What both have is not written.
	write(was *Config, is Config) error
}

// rows are those of one table. Where gone or changed is set, the keys of rows that
// are taken away, or have another value, are added to it.
type rows[K, V comparable] struct {
	what          string
	in            *ebpf.Map
	of            func(Config) map[K]V
	gone, changed *[]K
}

func (r rows[K, V]) write(was *Config, is Config) error {
	have, err := r.have(was)
	if err != nil {
		return err
	}
	return r.replace(have, r.of(is))
}

// have are the rows that are there.
func (r rows[K, V]) have(was *Config) (map[K]V, error) {
	if was == nil {
		return readRows[K, V](r.what, r.in)
	}
	return r.of(*was), nil
}

// replace makes the rows want. What is there has: nil is whatever is found there. What
// is new is added before what is old goes, so that a packet never finds a half.
func (r rows[K, V]) replace(have, want map[K]V) (err error) {
	if have == nil {
		if have, err = readRows[K, V](r.what, r.in); err != nil {
			return err
		}
	}
	for k, v := range want {
		old, there := have[k]
		if there && old == v {
			continue
		}
		if err := kernel.Put(r.in, &k, &v); err != nil {
			return fmt.Errorf("adding to the data path's %s: %w", r.what, err)
		}
		if there && r.changed != nil {
			*r.changed = append(*r.changed, k)
		}
	}
	for k := range have {
		if _, stays := want[k]; stays {
			continue
		}
		if err := kernel.Delete(r.in, &k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing from the data path's %s: %w", r.what, err)
		}
		if r.gone != nil {
			*r.gone = append(*r.gone, k)
		}
	}
	return nil
}

func readRows[K, V comparable](what string, m *ebpf.Map) (map[K]V, error) {
	have := make(map[K]V)
	err := kernel.Each(m, func(key *K, value *V) error {
		have[*key] = *value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the data path's %s: %w", what, err)
	}
	return have, nil
}

// writeTables writes every table, whatever becomes of those before.
func (d *Datapath) writeTables(was *Config, is Config, e *effects) error {
	var errs []error
	for _, t := range d.configured(e) {
		errs = append(errs, t.write(was, is))
	}
	return errors.Join(errs...)
}

// heed makes what went or changed count for live sessions.
func (d *Datapath) heed(e effects, a *applied) error {
	err := errors.Join(d.endOrphans(e.orphans), d.adoptSettings(e.settings))
	if len(e.pools)+len(e.addresses) > 0 {
		err = errors.Join(err, d.endLost(a), d.dropSpareQueues(allPools(a.config)))
	}
	return err
}
