package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// twin is the data path as the model's counterpart: the real programs and maps
// (smaller ones), run packet by packet with BPF_PROG_TEST_RUN inside the host's
// namespace, where interfaces and routes are real. Nothing is attached and the
// wheel does not turn: time passes when the test says so.
type twin struct {
	host      *lab.Namespace
	dp        *Datapath
	outside   uint32
	endpoints []uint32 // interface of each of twinEndpoints
	plugged   uint32   // a port of network 1's bridge
	bridges   map[uint32]uint32
	buffer    []byte
	events    *ringbuf.Reader
	clock     *wire.Clock // of the programs: stands still until a test moves it
	holdDowns []holdDown
	socket    bool           // the world knows transparentFlow's socket
	careful   bool           // look at the counters after each packet, not at the end alone: they take longest to read
	base      Config         // what all worlds have
	allowed   []Endpoint     // the world's
	dry       *kernel.DryRun // runs each packet before it is run; or nil
	dryRuns   int
	sumEvery  int       // around how many dry runs the tables are summed up once
	explained int       // packets whose fate was read as explain does
	drawn     int       // packets whose external port chance drew, other than in the dry run
	room      int       // packets for which a closed connection was ended, so that the dry run differs
	itself    int       // packets from an endpoint to itself that a dry run cannot know the end of
	failures  *ebpf.Map // of writes to tables, if the programs know them: wire.FailWrites
}

// world is what a sequence begins with.
type world struct {
	Rules       rules
	Mappings    map[uint32]bool
	OneToOne    bool // there is a mapping of a whole address
	Open        bool // networks 1 and 3 are open to each other,
	Apart       bool // but for network 1
	Kept        bool // endpoints of one network do not reach each other
	Unrouted    bool // the host's routing tables do not know network 2
	HostOverlap bool // the host has come to twinOverlap
	Socket      bool // the host has one with a remote's address, see transparentFlow
	Leases      int  // which of twinLeases there are
	Allowances  int  // which of twinAllowances
	Sessions    int  // room in the tables
	Bindings    int
}

const (
	twinReassembly = "reassembly0"
	twinBoot       = time.Second // how long the machine has been up when a world begins: nothing may reckon with a past
)

func newTwin(t testing.TB) *twin { return newTwinOf(t, kernel.LoadSpec) }

// newTwinOf is newTwin with the programs of an object.
func newTwinOf(t testing.TB, programs func() (*ebpf.CollectionSpec, error)) *twin {
	t.Helper()
	topology := lab.StartTopology(t, 0)
	w := &twin{host: topology.Host, bridges: make(map[uint32]uint32), buffer: make([]byte, 4096)}
	check(t, w.load(programs))
	t.Cleanup(func() { w.dp.Close(); w.clock.Close() })
	check(t, w.watch(t))
	check(t, w.links())
	for _, l := range twinListeners {
		check(t, w.listen(t, l))
	}
	check(t, w.connect(t, transparentFlow))
	check(t, w.configure())
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// load loads the programs with maps of their own that are small enough to be
// read after each packet.
func (w *twin) load(programs func() (*ebpf.CollectionSpec, error)) error {
	spec, err := programs()
	if err != nil {
		return err
	}
	for name, size := range map[string]uint32{
		"sessions": twinSessions, "bindings": twinBindings, "binding_index": 128, "filter_entries": 64, "timers": 1 << 14,
		"fragments": 64, "host_ports": 64, "port_bits": 16, "spare_queues": 64, "spare_ports": 1024, "dependent_ports": 64, "usages": 64, "insides": 64, "endpoints": 64, "pools": 64,
	} {
		spec.Maps[name].MaxEntries = size
	}
	if w.clock, err = wire.NewClock(twinBoot); err != nil {
		return err
	}
	w.dp = &Datapath{}
	clock := w.clock.Rule(spec, make(map[string]*ebpf.Map))
	all, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: clock})
	if err != nil {
		return err
	}
	defer all.Close() // of what is not assigned
	w.failures = all.DetachMap(wire.FailureTable)
	if wanted := all.Maps["wanted_captures"]; wanted != nil { // they capture until the ring is full, and go on
		if err := wanted.Put(uint32(0), &kernel.CaptureSettings{Until: ^uint64(0), Length: largestCapture}); err != nil {
			return err
		}
	}
	return all.Assign(&w.dp.objects)
}

func (w *twin) links() error {
	h := w.host
	steps := []error{
		h.AddBridge("hostnat0"), h.SetDown("hostnat0"), h.Sysctl("net/ipv4/conf/hostnat0/forwarding", "1"),
		h.SetMAC(lab.HostLink, outsideMAC[:]), h.SetMTU(lab.HostLink, twinMTU), h.AddAddress(lab.HostLink, secondAddress.String()+"/24"),
	}
	for _, name := range []string{"e0", "e1", "e2", "p1", twinReassembly} {
		steps = append(steps, h.AddBridge(name))
	}
	for id, n := range twinNetworks {
		name := fmt.Sprintf("n%d", id)
		steps = append(steps, h.AddBridge(name), h.SetMAC(name, wire.Hardware(n.GatewayMAC)))
	}
	return errors.Join(steps...)
}

func (w *twin) listen(t testing.TB, l natmodel.Listener) error {
	if l.Protocol == model.TCP {
		listener, err := w.host.Listen("tcp4", l.Address.String())
		if err == nil {
			t.Cleanup(func() { listener.Close() })
		}
		return err
	}
	conn, err := w.host.ListenPacket("udp4", l.Address.String())
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return err
}

func (w *twin) index(link string) uint32 {
	attrs, err := w.host.Link(link)
	if err != nil {
		return 0
	}
	return uint32(attrs.Index)
}

// configure writes what does not differ between worlds.
func (w *twin) configure() error {
	w.outside = w.index(lab.HostLink)
	c := Config{
		Anchor:     w.index("hostnat0"),
		Reassembly: w.index(twinReassembly), // what goes in there does not come out
		LocalPorts: model.PortRange{Low: 32768, High: 60999},
		NATs:       map[uint32]model.NAT{1: twinNAT(rules{}), 2: twinNAT(rules{})},
		Networks:   make(map[uint32]Network),
		Insides:    make(map[uint32]Inside),
		Outsides:   map[uint32]Outside{w.outside: {}},
		Mappings:   twinMappings, // for their allowed remotes
	}
	c.HostAddresses = hostAddresses(w.outside, wire.HostAddress, secondAddress)
	for id, n := range twinNetworks {
		n.Bridge = w.index(fmt.Sprintf("n%d", id))
		w.bridges[id] = n.Bridge
		c.Networks[id] = n
		c.Insides[n.Bridge] = Inside{Network: id, Bridge: true}
		c.HostAddresses[n.Gateway] = n.Bridge
	}
	w.plugged = w.index("p1")
	c.Insides[w.plugged] = Inside{Network: 1, Port: true}
	for i, e := range twinEndpoints {
		link := w.index(fmt.Sprintf("e%d", i))
		w.endpoints = append(w.endpoints, link)
		c.Insides[link] = Inside{Network: e.Network, Address: e.Address, MAC: natMAC(e.MAC)}
		c.Endpoints = append(c.Endpoints, Endpoint{ID: uint32(i) + 1,
			Compartment: twinNetworks[e.Network].Compartment, Address: e.Address, Interface: link, Network: e.Network,
			MAC: natMAC(e.MAC), GatewayMAC: twinNetworks[e.Network].GatewayMAC,
		})
	}
	c.Pools = w.pools()
	w.base = c
	_, err := w.dp.Apply(c)
	return err
}

func hardwareString(m natmodel.MAC) string { return net.HardwareAddr(m[:]).String() }

// reset begins a world.
func (w *twin) reset(begin world) error {
	o := &w.dp.objects
	w.holdDowns, w.socket, w.allowed = nil, begin.Socket, begin.endpoints(w.base.Endpoints)
	c := w.config(begin.Rules, begin.Mappings)
	c.Networks, c.Insides = begin.networks(w.base.Networks), begin.insides(w.base.Insides)
	if begin.OneToOne {
		c.OneToOne = map[uint32]OneToOne{6: twinOneToOne} // its remotes are mapping 6's
	}
	return errors.Join(
		w.clock.Set(twinBoot),
		syncRows("networks", o.Networks, networkValues(c)), syncRows("insides", o.Insides, insideValues(c)),
		syncRows("inside prefixes", o.InsidePrefixes, prefixValues(c)), syncRows("subnets", o.Subnets, subnetValues(c)),
		syncRows("further addresses", o.Behind, behindValues(c)), syncRows("further sources", o.Sources, sourceValues(c)),
		syncRows("leases", o.Leases, leaseValues(twinLeases[begin.Leases], w.dp.readClock())),
		syncRows("mapped addresses", o.OneToOneIn, oneToOneIn(c)), syncRows("mapped inside addresses", o.OneToOneOut, oneToOneOut(c)),
		clearMap[kernel.SessionKey, kernel.Session](o.Sessions), clearMap[kernel.BindingKey, kernel.Binding](o.Bindings),
		w.clearIndex(), clearMap[kernel.FilterKey, kernel.FilterEntry](o.FilterEntries),
		clearMap[kernel.EndpointKey, kernel.Usage](o.Usages), clearMap[kernel.StationKey, kernel.Station](o.Stations), clearMap[kernel.EndpointKey, kernel.Holder](o.Holders),
		clearMap[uint32, kernel.PortLoad](o.PortLoads), clearMap[kernel.RefusalKey, kernel.Refusal](o.Refusals),
		clearMap[kernel.DependentPortKey, kernel.DependentPort](o.DependentPorts),
		clearMap[uint32, uint64](o.DependentCount), clearMap[kernel.SpareQueueKey, kernel.SpareQueue](o.SpareQueues), clearMap[kernel.SpareKey, kernel.Spare](o.SparePorts),
		clearMap[kernel.FragmentKey, kernel.Fragment](o.Fragments), clearMap[kernel.FragmentKey, uint64](o.ForeignFragments),
		clearMap[kernel.HostPortKey, uint64](o.HostPorts),
		clearMap[kernel.PortBitsKey, kernel.PortBits](o.PortBits), clearMap[uint64, kernel.TimerNode](o.Timers), w.clearDrops(),
		syncRows("NATs", o.Nats, natValues(c)), syncRows("pools", o.Pools, poolValues(c)),
		w.fill(begin), w.applyMappings(c),
	)
}

func syncRows[K, V comparable](what string, m *ebpf.Map, want map[K]V) error {
	return rows[K, V]{what: what, in: m}.replace(nil, want)
}

// config is what differs between worlds.
func (w *twin) config(r rules, mappings map[uint32]bool) Config {
	return Config{
		NATs: map[uint32]model.NAT{1: twinNAT(r), 2: twinNAT(r)}, Pools: w.pools(), Mappings: pickMappings(mappings), Transparent: w.socket, Endpoints: w.allowed,
	}
}

func (w *twin) applyMappings(c Config) error {
	a := newApplied(c)
	err := w.dp.changeSettings(func(s *kernel.Settings) {
		s.Flags, s.WatchedUntil, s.WatchedAll = settingFlags(c)|a.lookFor(), ^uint64(0), 1
		setDependentPorts(s, c, false)
	})
	return errors.Join(err, w.dp.writeMappings(a, allMappings(a.mappings)))
}

func (w *twin) pools() []Pool {
	var pools []Pool
	for id, addresses := range twinPools {
		pools = append(pools, Pool{NAT: id, Interface: w.outside, Addresses: addresses})
	}
	return pools
}

// fill leaves only so much room in the tables as the world has.
func (w *twin) fill(begin world) error {
	for i := range twinSessions - begin.Sessions {
		if err := w.dp.objects.Sessions.Put(&kernel.SessionKey{Compartment: dummy, InternalAddress: uint32(i)}, &kernel.Session{}); err != nil {
			return err
		}
	}
	for i := range twinBindings - begin.Bindings {
		key := kernel.BindingKey{Address: uint32(i), Protocol: 200}
		if err := w.dp.objects.Bindings.Put(&key, &kernel.Binding{Compartment: dummy, Flags: bindingDummy}); err != nil {
			return err
		}
	}
	return nil
}

const (
	dummy        = 99 // compartment of what only takes up room
	bindingDummy = 1 << 15
)

func clearMap[K, V any](m *ebpf.Map) error {
	var keys []K
	var key K
	var value V
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		keys = append(keys, key)
	}
	for i := range keys {
		if err := m.Delete(&keys[i]); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return entries.Err()
}

func (w *twin) clearIndex() error {
	ways, err := contentsOf[kernel.BindingIndexKey, kernel.WayOut](w.dp.objects.BindingIndex)
	for index := range ways {
		err = errors.Join(err, kernel.RemoveWay(&w.dp.objects, index))
	}
	return err
}

// indexCount is how many elements of the index the data path has counted.
func (w *twin) indexCount() (sum int, err error) {
	m := w.dp.objects.IndexCounts
	keys, counts := make([]uint32, m.MaxEntries()), make([]uint32, m.MaxEntries())
	_, err = m.BatchLookup(new(ebpf.MapBatchCursor), keys, counts, nil)
	for _, n := range counts {
		sum += int(n)
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) { // that was the end
		err = nil
	}
	return sum, err
}

func hostAddresses(outside uint32, list ...netip.Addr) map[netip.Addr]uint32 {
	all := make(map[netip.Addr]uint32)
	for _, a := range list {
		all[a] = outside
	}
	return all
}
