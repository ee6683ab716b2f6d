package dptest

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// Rig is a topology whose host runs the data path, set up by hand: one network
// 172.16.1.0/24 with bridge br1, an endpoint for each namespace (.2, .3, ...).
// What arrives at the remote and at the endpoints is captured, and held against
// the rules that hold always (see wire).
type Rig struct {
	*lab.Topology
	Datapath *datapath.Datapath
	Config   datapath.Config

	told       map[uint32]datapath.Mapping // what apply has told last
	toldBeside string
	toldTo     *datapath.Datapath
	Dir        string
	Outside    uint32          // interface
	still      bool            // the data path's clock stands still
	loaded     map[string]bool // that are loaded, see need

	AtRemote   *wire.Capture
	AtEndpoint []*wire.Capture

	mu      sync.Mutex
	senders map[string]int // packet sockets by NAMESPACE/LINK
	macs    map[string]model.MAC
}

func EndpointMAC(i int) model.MAC { return model.MAC(fmt.Sprintf("02:00:00:00:01:%02x", i+2)) }

// mountBPF gives the test a BPF filesystem of its own.
func mountBPF(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bpf")
	wire.Must(t, os.Mkdir(dir, 0o700))
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

func NewRig(t *testing.T, endpoints int, options ...Option) *Rig {
	t.Helper()
	r := NewBareRig(t, endpoints, options...)
	r.AddNetwork(t, wire.RigNetwork, "br1", datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: wire.GatewayMAC,
	})
	for i := range endpoints {
		r.AddEndpoint(t, i, wire.RigNetwork, wire.EndpointAddress(i))
	}
	r.Apply(t)
	return r
}

// Option changes what a rig begins with.
type Option func(*Rig)

// StandStill is for tests in which no time may pass.
func StandStill(r *Rig) { r.still = true }

// NewBareRig has an outside and a NAT, but no network yet.
func NewBareRig(t *testing.T, endpoints int, options ...Option) *Rig {
	t.Helper()
	r := &Rig{
		Topology: lab.StartTopology(t, endpoints), Dir: mountBPF(t), AtEndpoint: make([]*wire.Capture, endpoints),
		senders: make(map[string]int), macs: make(map[string]model.MAC), loaded: make(map[string]bool),
	}
	for _, name := range firstPrograms {
		r.loaded[name] = true
	}
	for _, set := range options {
		set(r)
	}
	r.Open(t)
	refused := lab.NeighboursRefused()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("drops: %v; neighbours that the kernel had no room for meanwhile: %d", r.Drops(t), lab.NeighboursRefused()-refused)
		}
		r.Datapath.Close()
		for _, fd := range r.senders {
			unix.Close(fd)
		}
	})
	host := r.Host
	for _, n := range append([]*lab.Namespace{r.Remote, host}, r.Endpoints...) {
		wire.Must(t, n.Sysctl("net/ipv6/conf/all/disable_ipv6", "1")) // its own chatter would be counted
		wire.Must(t, n.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"))
		wire.Must(t, n.Sysctl("net/ipv4/ip_forward", "0"))
	}
	wire.Must(t, host.AddBridge("hostnat0"))
	wire.Must(t, host.SetDown("hostnat0"))
	wire.Must(t, host.Sysctl("net/ipv4/conf/hostnat0/forwarding", "1"))
	r.Outside = wire.Ifindex(t, host, lab.HostLink)
	r.Config = datapath.Config{
		Anchor:        wire.Ifindex(t, host, "hostnat0"),
		LocalPorts:    model.PortRange{Low: 32768, High: 60999},
		NATs:          map[uint32]model.NAT{wire.RigNAT: DefaultNAT(model.ProfileRFC)},
		Pools:         []datapath.Pool{r.Pool(wire.RigNAT, wire.HostAddress, wire.RigPorts...)},
		Networks:      map[uint32]datapath.Network{},
		Insides:       map[uint32]datapath.Inside{},
		Outsides:      map[uint32]datapath.Outside{r.Outside: {}},
		HostAddresses: map[netip.Addr]uint32{wire.HostAddress: r.Outside},
		Mappings:      map[uint32]datapath.Mapping{},
	}
	r.Attach(t, r.Outside, datapath.OutsideIngress, datapath.OutsideEgress)
	r.AtRemote = wire.Watch(t, r.Remote, lab.RemoteLink)
	r.AtRemote.Outside = true
	return r
}

func DefaultNAT(p model.Profile) model.NAT {
	timeouts, filtering := p.Defaults()
	return model.NAT{Timeouts: timeouts, TCPFiltering: filtering, UDPFiltering: filtering}
}

func (r *Rig) Pool(id uint32, address netip.Addr, ports ...model.PortRange) datapath.Pool {
	return datapath.Pool{NAT: id, Interface: r.Outside, Addresses: []datapath.PoolAddress{{Address: address, Ports: ports}}}
}

// AddNetwork makes a bridge with the network's gateway, and attaches to it.
func (r *Rig) AddNetwork(t *testing.T, id uint32, bridge string, n datapath.Network) {
	t.Helper()
	wire.Must(t, r.Host.AddBridge(bridge))
	wire.Must(t, r.Host.SetMAC(bridge, wire.Hardware(n.GatewayMAC)))
	wire.Must(t, r.Host.AddAddress(bridge, netip.PrefixFrom(n.Gateway, n.Subnet.Bits()).String()))
	n.Bridge = wire.Ifindex(t, r.Host, bridge)
	r.Config.Networks[id] = n
	r.Config.Insides[n.Bridge] = datapath.Inside{Network: id, Bridge: true}
	r.Config.HostAddresses[n.Gateway] = n.Bridge
	r.Attach(t, n.Bridge, datapath.BridgeIngress)
}

// AddEndpoint connects namespace i to a network by a veth pair hv-cN - eth0.
func (r *Rig) AddEndpoint(t *testing.T, i int, network uint32, address netip.Addr) {
	t.Helper()
	link, index := r.Plug(t, i, network, address)
	n := r.Config.Networks[network]
	r.Config.Insides[index] = datapath.Inside{Network: network, Address: address, MAC: EndpointMAC(i)}
	r.Config.Endpoints = append(r.Config.Endpoints, datapath.Endpoint{
		ID: uint32(i) + 1, Compartment: n.Compartment, Address: address, Interface: index, Network: network, Peer: true,
		MAC: EndpointMAC(i), GatewayMAC: n.GatewayMAC,
	})
	r.Attach(t, index, datapath.InsideIngress, datapath.PortEgress)
	wire.Must(t, r.Host.SetUp(link))
}

// Plug connects namespace i to a network's bridge and tells the data path nothing.
func (r *Rig) Plug(t *testing.T, i int, network uint32, address netip.Addr) (string, uint32) {
	t.Helper()
	n := r.Config.Networks[network]
	c, link := r.Endpoints[i], HostSide(i)
	wire.Must(t, lab.Veth(r.Host, link, c, "eth0"))
	wire.Must(t, c.SetMAC("eth0", wire.Hardware(EndpointMAC(i))))
	wire.Must(t, c.AddAddress("eth0", netip.PrefixFrom(address, n.Subnet.Bits()).String()))
	wire.Must(t, c.AddRoute("0.0.0.0/0", n.Gateway.String()))
	bridge, err := r.bridgeOf(network)
	wire.Must(t, err)
	wire.Must(t, r.Host.Enslave(link, bridge))
	r.AtEndpoint[i] = wire.Watch(t, c, "eth0")
	return link, wire.Ifindex(t, r.Host, link)
}

func HostSide(i int) string { return fmt.Sprintf("hv-c%d", i+1) }

func (r *Rig) bridgeOf(network uint32) (string, error) {
	names, err := r.Host.Links()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		attrs, err := r.Host.Link(name)
		if err == nil && uint32(attrs.Index) == r.Config.Networks[network].Bridge {
			return name, nil
		}
	}
	return "", fmt.Errorf("network %d has no bridge", network)
}

func (r *Rig) Attach(t *testing.T, index uint32, hooks ...datapath.Hook) {
	t.Helper()
	for _, h := range hooks {
		r.need(t, programOf(h))
	}
	wire.Must(t, r.Host.Do(func() error {
		for _, h := range hooks {
			if err := r.Datapath.Attach(datapath.Attachment{Interface: index, Hook: h}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Apply tells the data path what has changed: mappings alone, if nothing else
// has, as the daemon does.
func (r *Rig) Apply(t *testing.T) {
	t.Helper()
	beside := r.Config
	beside.Mappings = nil
	had, told := r.told, r.toldBeside
	r.told, r.toldBeside = maps.Clone(r.Config.Mappings), fmt.Sprintf("%+v", beside)
	if r.toldTo != r.Datapath || told != r.toldBeside {
		r.ApplyAll(t)
		r.toldTo = r.Datapath
		return
	}
	put, gone := changedMappings(had, r.Config.Mappings)
	r.Change(t, datapath.Part{Mappings: put, Gone: datapath.Gone{Mappings: gone}})
}

// ApplyAll tells the data path everything.
func (r *Rig) ApplyAll(t *testing.T) {
	t.Helper()
	_, err := r.Datapath.Apply(r.Config)
	wire.Must(t, err)
}

// Change tells the data path of a part.
func (r *Rig) Change(t *testing.T, p datapath.Part) {
	t.Helper()
	_, err := r.Datapath.Change(p)
	wire.Must(t, err)
}

func changedMappings(before, after map[uint32]datapath.Mapping) (put map[uint32]datapath.Mapping, gone []uint32) {
	put = make(map[uint32]datapath.Mapping)
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

// RaiseSegments lets endpoint i's link take TCP in pieces of more than 64 KiB, as
// the daemon does where all links do.
func (r *Rig) RaiseSegments(t *testing.T, i int) {
	t.Helper()
	for n, link := range map[*lab.Namespace]string{r.Endpoints[i]: "eth0", r.Host: HostSide(i)} {
		attrs, err := n.Link(link)
		wire.Must(t, err)
		wire.Must(t, n.Do(func() error {
			return host.SetSegment(host.Link{Index: attrs.Index, Name: link}, host.LargeSegment(1<<19))
		}))
	}
}
