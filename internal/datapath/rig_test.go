package datapath

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// rig is a topology whose host runs the data path, set up by hand: one network
// 172.16.1.0/24 with bridge br1, an endpoint for each namespace (.2, .3, ...).
// What arrives at the remote and at the endpoints is captured, and held against
// the rules that hold always (see wire).
type rig struct {
	*lab.Topology
	dp     *Datapath
	config Config

	told       map[uint32]Mapping // what apply has told last
	toldBeside string
	dir        string
	outside    uint32          // interface
	loaded     map[string]bool // that are loaded, see need

	atRemote   *wire
	atEndpoint []*wire

	mu      sync.Mutex
	senders map[string]int // packet sockets by NAMESPACE/LINK
	macs    map[string]model.MAC
}

const (
	rigNAT, rigNetwork, rigCompartment = 1, 2, 3
	gatewayMAC                         = model.MAC("02:00:00:00:00:01")
	patience                           = 5 * time.Second
)

var (
	hostAddress   = netip.MustParseAddr(lab.HostAddress)
	remoteAddress = netip.MustParseAddr(lab.RemoteAddress)
	rigPorts      = []model.PortRange{{Low: 1024, High: 32767}, {Low: 61000, High: 65535}}
)

func endpointAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 1, byte(i + 2)}) }
func endpointMAC(i int) model.MAC      { return model.MAC(fmt.Sprintf("02:00:00:00:01:%02x", i+2)) }

// mountBPF gives the test a BPF filesystem of its own.
func mountBPF(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bpf")
	must(t, os.Mkdir(dir, 0o700))
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a BPF filesystem: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func newRig(t *testing.T, endpoints int) *rig {
	t.Helper()
	r := newBareRig(t, endpoints)
	r.addNetwork(t, rigNetwork, "br1", Network{
		Compartment: rigCompartment, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: gatewayMAC,
	})
	for i := range endpoints {
		r.addEndpoint(t, i, rigNetwork, endpointAddress(i))
	}
	r.apply(t)
	return r
}

// newBareRig has an outside and a NAT, but no network yet.
func newBareRig(t *testing.T, endpoints int) *rig {
	t.Helper()
	r := &rig{
		Topology: lab.StartTopology(t, endpoints), dir: mountBPF(t), atEndpoint: make([]*wire, endpoints),
		senders: make(map[string]int), macs: make(map[string]model.MAC), loaded: make(map[string]bool),
	}
	for _, name := range firstPrograms {
		r.loaded[name] = true
	}
	r.open(t)
	refused := lab.NeighboursRefused()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("drops: %v; neighbours that the kernel had no room for meanwhile: %d", r.drops(t), lab.NeighboursRefused()-refused)
		}
		r.dp.Close()
		for _, fd := range r.senders {
			unix.Close(fd)
		}
	})
	host := r.Host
	for _, n := range append([]*lab.Namespace{r.Remote, host}, r.Endpoints...) {
		must(t, n.Sysctl("net/ipv6/conf/all/disable_ipv6", "1")) // its own chatter would be counted
		must(t, n.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"))
		must(t, n.Sysctl("net/ipv4/ip_forward", "0"))
	}
	must(t, host.AddBridge("hostnat0"))
	must(t, host.SetDown("hostnat0"))
	must(t, host.Sysctl("net/ipv4/conf/hostnat0/forwarding", "1"))
	r.outside = ifindex(t, host, lab.HostLink)
	r.config = Config{
		Anchor:        ifindex(t, host, "hostnat0"),
		LocalPorts:    model.PortRange{Low: 32768, High: 60999},
		NATs:          map[uint32]model.NAT{rigNAT: defaultNAT(model.ProfileRFC)},
		Pools:         []Pool{r.pool(rigNAT, hostAddress, rigPorts...)},
		Networks:      map[uint32]Network{},
		Insides:       map[uint32]Inside{},
		Outsides:      map[uint32]Outside{r.outside: {}},
		HostAddresses: map[netip.Addr]uint32{hostAddress: r.outside},
		Mappings:      map[uint32]Mapping{},
	}
	r.attach(t, r.outside, OutsideIngress, OutsideEgress)
	r.atRemote = watch(t, r.Remote, lab.RemoteLink)
	r.atRemote.outside = true
	return r
}

func defaultNAT(p model.Profile) model.NAT {
	timeouts, filtering := p.Defaults()
	return model.NAT{Timeouts: timeouts, TCPFiltering: filtering, UDPFiltering: filtering}
}

func (r *rig) pool(id uint32, address netip.Addr, ports ...model.PortRange) Pool {
	return Pool{NAT: id, Interface: r.outside, Addresses: []PoolAddress{{Address: address, Ports: ports}}}
}

// addNetwork makes a bridge with the network's gateway, and attaches to it.
func (r *rig) addNetwork(t *testing.T, id uint32, bridge string, n Network) {
	t.Helper()
	must(t, r.Host.AddBridge(bridge))
	must(t, r.Host.SetMAC(bridge, hardware(n.GatewayMAC)))
	must(t, r.Host.AddAddress(bridge, netip.PrefixFrom(n.Gateway, n.Subnet.Bits()).String()))
	n.Bridge = ifindex(t, r.Host, bridge)
	r.config.Networks[id] = n
	r.config.Insides[n.Bridge] = Inside{Network: id, Bridge: true}
	r.config.HostAddresses[n.Gateway] = n.Bridge
	r.attach(t, n.Bridge, BridgeIngress)
}

// addEndpoint connects namespace i to a network by a veth pair hv-cN - eth0.
func (r *rig) addEndpoint(t *testing.T, i int, network uint32, address netip.Addr) {
	t.Helper()
	link, index := r.plug(t, i, network, address)
	n := r.config.Networks[network]
	r.config.Insides[index] = Inside{Network: network, Address: address, MAC: endpointMAC(i)}
	r.config.Endpoints = append(r.config.Endpoints, Endpoint{
		Compartment: n.Compartment, Address: address, Interface: index, Network: network, Peer: true,
		MAC: endpointMAC(i), GatewayMAC: n.GatewayMAC,
	})
	r.attach(t, index, InsideIngress)
	must(t, r.Host.SetUp(link))
}

// plug connects namespace i to a network's bridge and tells the data path nothing.
func (r *rig) plug(t *testing.T, i int, network uint32, address netip.Addr) (string, uint32) {
	t.Helper()
	n := r.config.Networks[network]
	c, link := r.Endpoints[i], hostSide(i)
	must(t, lab.Veth(r.Host, link, c, "eth0"))
	must(t, c.SetMAC("eth0", hardware(endpointMAC(i))))
	must(t, c.AddAddress("eth0", netip.PrefixFrom(address, n.Subnet.Bits()).String()))
	must(t, c.AddRoute("0.0.0.0/0", n.Gateway.String()))
	bridge, err := r.bridgeOf(network)
	must(t, err)
	must(t, r.Host.Enslave(link, bridge))
	r.atEndpoint[i] = watch(t, c, "eth0")
	return link, ifindex(t, r.Host, link)
}

func hostSide(i int) string { return fmt.Sprintf("hv-c%d", i+1) }

func (r *rig) bridgeOf(network uint32) (string, error) {
	names, err := r.Host.Links()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		attrs, err := r.Host.Link(name)
		if err == nil && uint32(attrs.Index) == r.config.Networks[network].Bridge {
			return name, nil
		}
	}
	return "", fmt.Errorf("network %d has no bridge", network)
}

func (r *rig) attach(t *testing.T, index uint32, hooks ...Hook) {
	t.Helper()
	for _, h := range hooks {
		r.need(t, programOf(h))
	}
	must(t, r.Host.Do(func() error {
		for _, h := range hooks {
			if err := r.dp.Attach(Attachment{Interface: index, Hook: h}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// apply tells the data path what has changed: mappings alone, if nothing else
// has, as the daemon does.
func (r *rig) apply(t *testing.T) {
	t.Helper()
	beside := r.config
	beside.Mappings = nil
	had, told := r.told, r.toldBeside
	r.told, r.toldBeside = maps.Clone(r.config.Mappings), fmt.Sprintf("%+v", beside)
	if r.dp.applied == nil || told != r.toldBeside {
		must(t, r.dp.Apply(r.config))
		return
	}
	put, gone := changedMappings(had, r.config.Mappings)
	must(t, r.dp.ChangeMappings(put, gone))
}

func changedMappings(before, after map[uint32]Mapping) (put map[uint32]Mapping, gone []uint32) {
	put = make(map[uint32]Mapping)
	for id, m := range after {
		if !reflect.DeepEqual(before[id], m) {
			put[id] = m
		}
	}
	for id := range before {
		if _, ok := after[id]; !ok {
			gone = append(gone, id)
		}
	}
	return put, gone
}

func ifindex(t *testing.T, n *lab.Namespace, link string) uint32 {
	t.Helper()
	attrs, err := n.Link(link)
	must(t, err)
	return uint32(attrs.Index)
}

func hardware(m model.MAC) net.HardwareAddr {
	mac := macOf(m)
	return mac[:]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	within(t, patience, what, cond)
}

func within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := lab.WaitFor(ctx, cond); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
