package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/lab"
	"github.com/hostnat/hostnat/internal/nat"
)

// rig is a topology whose host runs the data path, set up by hand: one network
// 172.16.1.0/24 with bridge br1, an endpoint for each namespace (.2, .3, ...).
type rig struct {
	*lab.Topology
	dp     *Datapath
	config Config
	dir    string
}

const (
	rigNAT, rigNetwork, rigCompartment = 1, 2, 3
	gatewayMAC                         = nat.MAC("02:00:00:00:00:01")
)

func endpointAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 1, byte(i + 2)}) }
func endpointMAC(i int) nat.MAC        { return nat.MAC(fmt.Sprintf("02:00:00:00:01:%02x", i+2)) }

// mountBPF gives the test a BPF filesystem of its own.
func mountBPF(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bpf")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
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
	r := &rig{Topology: lab.StartTopology(t, endpoints), dir: mountBPF(t)}
	r.open(t)
	t.Cleanup(func() { r.dp.Close() })
	host := r.Host
	must(t, host.AddBridge("hostnat0"))
	must(t, host.SetDown("hostnat0"))
	must(t, host.Sysctl("net/ipv4/conf/hostnat0/forwarding", "1"))
	must(t, host.AddBridge("br1"))
	must(t, host.SetMAC("br1", hardware(gatewayMAC)))
	must(t, host.AddAddress("br1", "172.16.1.1/24"))
	timeouts, filtering := nat.ProfileRFC.Defaults()
	out := ifindex(t, host, lab.HostLink)
	bridge := ifindex(t, host, "br1")
	r.config = Config{
		Anchor:     ifindex(t, host, "hostnat0"),
		LocalPorts: nat.PortRange{Low: 32768, High: 60999},
		NATs:       map[uint32]nat.NAT{rigNAT: {Timeouts: timeouts, TCPFiltering: filtering, UDPFiltering: filtering}},
		Pools: []Pool{{NAT: rigNAT, Interface: out, Addresses: []PoolAddress{{
			Address: netip.MustParseAddr(lab.HostAddress),
			Ports:   []nat.PortRange{{Low: 1024, High: 32767}, {Low: 61000, High: 65535}},
		}}}},
		Networks: map[uint32]Network{rigNetwork: {
			Compartment: rigCompartment, NAT: rigNAT, Bridge: bridge, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
			Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: gatewayMAC,
		}},
		Insides:       map[uint32]Inside{bridge: {Network: rigNetwork, Bridge: true}},
		Outsides:      map[uint32]Outside{out: {}},
		HostAddresses: []netip.Addr{netip.MustParseAddr(lab.HostAddress), netip.MustParseAddr("172.16.1.1")},
		Mappings:      map[uint32]Mapping{},
	}
	for i := range endpoints {
		r.addEndpoint(t, i)
	}
	r.apply(t)
	r.attach(t, bridge, BridgeIngress)
	r.attach(t, out, OutsideIngress, OutsideEgress)
	return r
}

// open loads the data path; what it needs of the network is that of the host.
func (r *rig) open(t *testing.T) {
	t.Helper()
	must(t, r.Host.Do(func() (err error) {
		r.dp, err = Open(r.dir)
		return err
	}))
}

func (r *rig) addEndpoint(t *testing.T, i int) {
	t.Helper()
	c, link := r.Endpoints[i], fmt.Sprintf("hv-c%d", i+1)
	must(t, lab.Veth(r.Host, link, c, "eth0"))
	must(t, c.SetMAC("eth0", hardware(endpointMAC(i))))
	must(t, c.AddAddress("eth0", endpointAddress(i).String()+"/24"))
	must(t, c.AddRoute("0.0.0.0/0", "172.16.1.1"))
	must(t, r.Host.Enslave(link, "br1"))
	index := ifindex(t, r.Host, link)
	r.config.Insides[index] = Inside{Network: rigNetwork, Address: endpointAddress(i), MAC: endpointMAC(i)}
	r.config.Endpoints = append(r.config.Endpoints, Endpoint{
		Compartment: rigCompartment, Address: endpointAddress(i), Interface: index, Network: rigNetwork, Peer: true,
		MAC: endpointMAC(i), GatewayMAC: gatewayMAC,
	})
	r.attach(t, index, InsideIngress)
}

func (r *rig) attach(t *testing.T, index uint32, hooks ...Hook) {
	t.Helper()
	must(t, r.Host.Do(func() error {
		for _, h := range hooks {
			if err := r.dp.Attach(Attachment{Interface: index, Hook: h}); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (r *rig) apply(t *testing.T) {
	t.Helper()
	must(t, r.dp.Apply(r.config))
}

func (r *rig) sessions(t *testing.T) []Session {
	t.Helper()
	var list []Session
	must(t, r.dp.Sessions(func(s Session) error { list = append(list, s); return nil }))
	return list
}

func (r *rig) bindings(t *testing.T) []Binding {
	t.Helper()
	var list []Binding
	must(t, r.dp.Bindings(func(b Binding) error { list = append(list, b); return nil }))
	return list
}

func (r *rig) drops(t *testing.T) map[string]uint64 {
	t.Helper()
	drops, err := r.dp.Drops()
	must(t, err)
	return drops
}

func ifindex(t *testing.T, n *lab.Namespace, link string) uint32 {
	t.Helper()
	attrs, err := n.Link(link)
	must(t, err)
	return uint32(attrs.Index)
}

func hardware(m nat.MAC) net.HardwareAddr {
	mac := macOf(m)
	return mac[:]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const patience = 5 * time.Second
