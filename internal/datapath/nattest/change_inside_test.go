package nattest

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// However networks and endpoints come, go and change, some with one prefix or one
// gateway, what is in the tables is what Apply would have put there.
func TestChangedInsideIsAsIfAllWasApplied(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Apply(t)
	random := rand.New(rand.NewPCG(3, 5))
	for step := range 150 {
		was := r.Config
		r.Config = randomInside(random, was)
		moves, err := r.Datapath.Change(partOf(was, r.Config))
		wire.Must(t, err)
		checkMoves(t, moves, was, r.Config)
		if step%5 != 0 {
			continue // several changes, one after the other
		}
		changed := insideTables(t, r)
		r.ApplyAll(t)
		if diff := cmp.Diff(insideTables(t, r), changed); diff != "" {
			t.Fatalf("step %d (-all applied +changed):\n%s", step, diff)
		}
	}
}

// checkMoves holds the moves of a part against what all of both configurations says.
func checkMoves(t *testing.T, moves datapath.Moves, was, is datapath.Config) {
	t.Helper()
	all := make(map[datapath.Attachment]int)
	for _, a := range is.Attachments() {
		all[a]++
	}
	for _, a := range was.Attachments() {
		all[a]--
	}
	for _, a := range moves.Attach {
		all[a]--
	}
	for _, a := range moves.Detach {
		all[a]++
	}
	for a, wrong := range all {
		if wrong != 0 {
			t.Errorf("%s on %d: %d too few", a.Hook, a.Interface, wrong)
		}
	}
}

// partOf is what differs, as whoever changes something would say it.
func partOf(was, is datapath.Config) datapath.Part {
	p := datapath.Part{
		Networks: differing(was.Networks, is.Networks), Insides: differing(was.Insides, is.Insides), Outsides: differing(was.Outsides, is.Outsides),
		Mappings: differing(was.Mappings, is.Mappings), HostAddresses: is.HostAddresses, Broadcasts: is.Broadcasts, Leases: &is.Leases,
	}
	before, after := endpointsByID(was), endpointsByID(is)
	for _, e := range differing(before, after) {
		p.Endpoints = append(p.Endpoints, e)
		p.Insides[e.Interface] = is.Insides[e.Interface]
	}
	for _, ifindex := range append(missing(was.Insides, is.Insides), missing(was.Outsides, is.Outsides)...) {
		_, inside := is.Insides[ifindex]
		if _, outside := is.Outsides[ifindex]; !inside && !outside {
			p.Gone.Interfaces = append(p.Gone.Interfaces, ifindex)
		}
	}
	p.Gone = datapath.Gone{
		Interfaces: p.Gone.Interfaces,
		Networks:   missing(was.Networks, is.Networks), Endpoints: missing(before, after), Mappings: missing(was.Mappings, is.Mappings),
	}
	return p
}

func endpointsByID(c datapath.Config) map[uint32]datapath.Endpoint {
	all := make(map[uint32]datapath.Endpoint)
	for _, e := range c.Endpoints {
		all[e.ID] = e
	}
	return all
}

func differing[V any](was, is map[uint32]V) map[uint32]V {
	list := make(map[uint32]V)
	for id, v := range is {
		if old, had := was[id]; !had || !reflect.DeepEqual(old, v) {
			list[id] = v
		}
	}
	return list
}

func missing[V any](was, is map[uint32]V) (ids []uint32) {
	for id := range was {
		if _, stays := is[id]; !stays {
			ids = append(ids, id)
		}
	}
	return ids
}

// randomInside takes some networks with their endpoints away, adds others and changes
// some. The interface of an endpoint that is gone is outside.
func randomInside(random *rand.Rand, was datapath.Config) datapath.Config {
	is := was
	is.Networks, is.Insides, is.Outsides, is.HostAddresses = maps.Clone(was.Networks), maps.Clone(was.Insides), maps.Clone(was.Outsides), maps.Clone(was.HostAddresses)
	is.Endpoints = slices.DeleteFunc(slices.Clone(was.Endpoints), func(e datapath.Endpoint) bool { return e.ID >= 100 }) // others are the rig's own
	is.Leases = slices.Clone(was.Leases)
	if random.IntN(3) == 0 {
		is.Leases = []datapath.Lease{{Compartment: wire.RigCompartment, Address: wire.EndpointAddress(9), MAC: "02:00:00:00:00:09", Until: time.Now().Add(time.Hour)}}[:random.IntN(2)]
	}
	for n := range uint32(6) {
		if random.IntN(3) == 0 && was.Networks[100+n].Bridge != 0 {
			keepInside(&is, was, 100+n)
			continue
		}
		addInside(random, &is, n)
	}
	for a := range is.HostAddresses { // of a gateway that is gone
		used := a == wire.HostAddress
		for _, n := range is.Networks {
			used = used || n.Gateway == a
		}
		if !used {
			delete(is.HostAddresses, a)
		}
	}
	return is
}

// keepInside leaves a network as it was, with its endpoint.
func keepInside(is *datapath.Config, was datapath.Config, id uint32) {
	for _, e := range was.Endpoints {
		if e.ID == id {
			is.Endpoints = append(is.Endpoints, e)
		}
	}
}

// addInside puts a network into the place of one, or takes it away.
func addInside(random *rand.Rand, is *datapath.Config, n uint32) {
	id, prefix := 100+n, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(n / 2), 0}), 24)
	gateway, address := prefix.Addr().Next(), prefix.Addr().Next().Next()
	delete(is.Networks, id)
	for _, link := range []uint32{1000 + id, 2000 + id, 3000 + id} {
		delete(is.Insides, link)
		delete(is.Outsides, link)
	}
	if random.IntN(2) == 0 {
		return
	}
	is.Networks[id] = datapath.Network{Compartment: id, NAT: wire.RigNAT, Bridge: 1000 + id, Subnet: prefix, Gateway: gateway, GatewayMAC: "02:00:00:00:00:01", Unrouted: random.IntN(2) == 0, Open: random.IntN(2) == 0}
	is.Insides[1000+id] = datapath.Inside{Network: id, Bridge: true}
	is.HostAddresses[gateway] = 1000 + id
	if random.IntN(2) == 0 {
		is.Insides[3000+id] = datapath.Inside{Network: id, Port: true}
	}
	if random.IntN(2) == 0 {
		is.Outsides[2000+id] = datapath.Outside{NoEthernet: random.IntN(2) == 0}
		return
	}
	e := datapath.Endpoint{ID: id, Compartment: id, Address: address, Interface: 2000 + id, Network: id, Peer: true, MTU: 1500 + random.IntN(2), MAC: "02:00:00:00:00:02"}
	if random.IntN(2) == 0 {
		e.Sources = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.PrefixFrom(address.Next(), 32)}
	}
	is.Insides[e.Interface] = datapath.Inside{Network: id, Address: address, MAC: e.MAC, Further: len(e.Sources) > 0}
	is.Endpoints = append(is.Endpoints, e)
}

// insideTables is what stands for networks and endpoints, as text.
func insideTables(t *testing.T, r *dptest.Rig) map[string]string {
	t.Helper()
	o, all := r.Datapath.Objects(), make(map[string]string)
	maps.Copy(all, dump[uint32, kernel.Network](t, "network", o.Networks))
	maps.Copy(all, dump[kernel.PrefixKey, uint32](t, "prefix", o.InsidePrefixes))
	maps.Copy(all, dump[kernel.SubnetKey, uint32](t, "subnet", o.Subnets))
	maps.Copy(all, dump[uint32, kernel.HostAddress](t, "host address", o.HostAddresses))
	maps.Copy(all, dump[kernel.EndpointKey, kernel.Endpoint](t, "endpoint", o.Endpoints))
	maps.Copy(all, dump[uint32, kernel.Inside](t, "inside", o.Insides))
	maps.Copy(all, dump[uint32, kernel.Outside](t, "outside", o.Outsides))
	maps.Copy(all, dump[kernel.StationKey, uint32](t, "MAC", o.ManagedMacs))
	maps.Copy(all, dump[kernel.SubnetKey, uint32](t, "further address", o.Behind))
	maps.Copy(all, dump[kernel.SourceKey, uint32](t, "further source", o.Sources))
	maps.Copy(all, dump[kernel.PoolKey, kernel.Pool](t, "pool", o.Pools))
	for key := range dump[kernel.EndpointKey, kernel.Lease](t, "lease", o.Leases) {
		all[key] = "there" // its end is in the kernel's time, which is not the same twice
	}
	return all
}
