package dptest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// filterRig has one dynamic binding, made by a packet to stranger(7, 80).
type filterRig struct {
	*Rig
	protocol model.Protocol
	External netip.AddrPort
	filtered uint64
}

func (r *Rig) Filter(t *testing.T, protocol model.Protocol, filtering model.Filtering) *filterRig {
	t.Helper()
	f := &filterRig{Rig: r, protocol: protocol, filtered: r.Drops(t)["filtered-remote"]}
	n := DefaultNAT(model.ProfileRFC)
	// The other protocol's setting must not count.
	n.TCPFiltering, n.UDPFiltering = model.AddressAndPortDependent, model.EndpointIndependent
	if filtering == model.EndpointIndependent {
		n.UDPFiltering = model.AddressAndPortDependent
	}
	if protocol == model.TCP {
		n.TCPFiltering = filtering
	} else {
		n.UDPFiltering = filtering
	}
	f.Config.NATs[wire.RigNAT] = n
	f.Apply(t)
	f.FromEndpoint(t, 0, wire.Segment{Protocol: protocol, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	f.External = f.Rig.External(t, protocol, wire.Inside(0, 4000))
	return f
}

// Check sends a UDP packet or a SYN from a remote.
func (f *filterRig) Check(t *testing.T, remote netip.AddrPort, pass bool) {
	t.Helper()
	f.FromRemote(t, wire.Segment{Protocol: f.protocol, Flags: wire.Syn, From: remote, To: f.External})
	arrived := wire.Is(f.protocol, remote, wire.Inside(0, 4000))
	if pass {
		f.AtEndpoint[0].Await(t, remote.String(), 1, arrived)
	} else {
		f.filtered++
	}
	f.Dropped(t, "filtered-remote", f.filtered)
	if got := len(f.AtEndpoint[0].Came(arrived)) > 0; got != pass {
		t.Errorf("packet from %v passed: %v, want %v", remote, got, pass)
	}
	if _, has := f.Session(t, f.protocol, wire.Inside(0, 4000), remote); has != pass {
		t.Errorf("session with %v: %v, want %v", remote, has, pass)
	}
}

func NewErrorRig(t *testing.T) *Rig {
	r := NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = Mapping(model.TCP, "0.0.0.0:5000", wire.Inside(0, 5000))
	r.Config.Mappings[2] = Mapping(model.UDP, "203.0.113.1:5001", wire.Inside(0, 5001))
	r.Apply(t)
	return r
}

// SeenAs is the external address and port of a flow.
func (r *Rig) SeenAs(t *testing.T, s wire.Segment) netip.AddrPort {
	t.Helper()
	external := r.External(t, s.Protocol, s.From)
	if external.Addr().IsUnspecified() { // a mapping on every address
		external = netip.AddrPortFrom(wire.HostAddress, external.Port())
	}
	return external
}

// NewTwoNetworkRig has endpoint 0 in 172.16.1.0/24 as always, and endpoint 1 in
// a second network on its own bridge.
func NewTwoNetworkRig(t *testing.T, second datapath.Network, address string) *Rig {
	t.Helper()
	r := NewBareRig(t, 2)
	r.SecondAddress(t)
	if second.NAT != wire.RigNAT {
		r.Config.NATs[second.NAT] = DefaultNAT(model.ProfileRFC)
		r.Config.Pools = append(r.Config.Pools, r.Pool(second.NAT, netip.MustParseAddr("203.0.113.10"), wire.RigPorts...))
	}
	r.AddNetwork(t, wire.RigNetwork, "br1", datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
		Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: wire.GatewayMAC,
	})
	second.GatewayMAC = wire.SecondMAC
	r.AddNetwork(t, wire.RigNetwork+10, "br2", second)
	r.AddEndpoint(t, 0, wire.RigNetwork, wire.EndpointAddress(0))
	r.AddEndpoint(t, 1, wire.RigNetwork+10, netip.MustParseAddr(address))
	r.Apply(t)
	return r
}

// Marker sends a datagram to the mapping behind what was sent before, and waits
// for it: what was to come has come then.
func (r *Rig) Marker(t *testing.T) {
	t.Helper()
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(9, 99), To: wire.Published, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
}

// NewMappedRig publishes port 80 of endpoint 0 as 8080, TCP and UDP.
func NewMappedRig(t *testing.T, endpoints int) *Rig {
	t.Helper()
	r := NewRig(t, endpoints)
	r.Config.Mappings[1] = Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Config.Mappings[2] = Mapping(model.TCP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	return r
}

// SecondAddress gives the host 203.0.113.10 too.
func (r *Rig) SecondAddress(t *testing.T) {
	t.Helper()
	wire.Must(t, r.Host.AddAddress(lab.HostLink, "203.0.113.10/24"))
	r.Config.HostAddresses[netip.MustParseAddr("203.0.113.10")] = r.Outside
	r.Apply(t)
}
