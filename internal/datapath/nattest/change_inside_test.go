package nattest

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// However networks and endpoints come and go, some with one prefix or one
// gateway, what is in the tables is what Apply would have put there.
func TestChangedInsideIsAsIfAllWasApplied(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Apply(t)
	random := rand.New(rand.NewPCG(3, 5))
	was := r.Config
	for step := range 100 {
		is := randomInside(random, was)
		wire.Must(t, r.Datapath.ChangeInside(was, is))
		was = is
		if step%5 != 0 {
			continue // several changes, one after the other
		}
		changed := insideTables(t, r)
		wire.Must(t, r.Datapath.Apply(is))
		if diff := cmp.Diff(insideTables(t, r), changed); diff != "" {
			t.Fatalf("step %d (-all applied +changed):\n%s", step, diff)
		}
	}
}

// randomInside takes some networks with their endpoints away and adds others.
func randomInside(random *rand.Rand, was datapath.Config) datapath.Config {
	is := was
	is.Networks, is.Insides, is.HostAddresses = maps.Clone(was.Networks), maps.Clone(was.Insides), maps.Clone(was.HostAddresses)
	is.Endpoints = was.Endpoints[:1:1] // the rig's own
	for n := range uint32(6) {
		id, prefix := 100+n, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(n / 2), 0}), 24)
		gateway, address := prefix.Addr().Next(), prefix.Addr().Next().Next()
		delete(is.Networks, id)
		delete(is.Insides, 1000+id)
		delete(is.Insides, 2000+id)
		if random.IntN(2) == 0 {
			continue
		}
		is.Networks[id] = datapath.Network{Compartment: id, NAT: wire.RigNAT, Bridge: 1000 + id, Subnet: prefix, Gateway: gateway, GatewayMAC: "02:00:00:00:00:01", Unrouted: true}
		is.Insides[1000+id] = datapath.Inside{Network: id, Bridge: true}
		is.HostAddresses[gateway] = 1000 + id
		if random.IntN(2) == 0 {
			is.Insides[2000+id] = datapath.Inside{Network: id, Address: address, MAC: "02:00:00:00:00:02"}
			is.Endpoints = append(is.Endpoints, datapath.Endpoint{Compartment: id, Address: address, Interface: 2000 + id, Network: id, Peer: true, MTU: 1500, MAC: "02:00:00:00:00:02"})
		}
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
	return all
}
