package nattest

import (
	"context"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-9, RFC 5382 REQ-8: endpoints reach each other, and themselves,
// by external addresses; the receiver sees the sender's external one.
func TestHairpinToPublishedPort(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	for id, protocol := range map[uint32]model.Protocol{1: model.TCP, 2: model.UDP} {
		r.Config.Mappings[id] = dptest.Mapping(protocol, "0.0.0.0:8080", wire.Inside(0, 80))
	}
	r.Apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
		wire.Must(t, err)
		defer server.Close()
		for i, who := range []string{"itself", "its neighbour"} {
			seen, err := lab.Ask(ctx, r.Endpoints[i], network, lab.HostAddress+":8080")
			if err != nil {
				t.Fatalf("%s from %s: %v; drops %v, sessions %+v", network, who, err, r.Drops(t), r.Sessions(t))
			}
			if seen.Addr() != wire.HostAddress {
				t.Errorf("%s from %s: the server saw %v, want the external address", network, who, seen)
			}
		}
	}
	r.Consistent(t)
}

// Two endpoints that know each other's external address from a third party, as
// peers do; address-dependent filtering counts external addresses as well.
func TestHairpinBetweenDynamicBindings(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	server := wire.Listen(t, r.Remote, lab.RemoteAddress+":3478")
	var peers [2]wire.Peer
	var external [2]netip.AddrPort
	for i := range peers {
		peers[i] = wire.Listen(t, r.Endpoints[i], netip.AddrPortFrom(wire.EndpointAddress(i), 4000).String())
		peers[i].Send(t, netip.MustParseAddrPort(lab.RemoteAddress+":3478"), "who am I?")
		external[i] = server.Expect(t, "who am I?")
	}
	peers[0].Send(t, external[1], "blocked") // peer 1 has not talked to this address yet
	r.Dropped(t, "filtered-remote", 1)
	peers[1].Send(t, external[0], "hello")
	if from := peers[0].Expect(t, "hello"); from != external[1] {
		t.Errorf("peer 0 saw %v, want %v", from, external[1])
	}
	peers[0].Send(t, external[1], "hello yourself")
	if from := peers[1].Expect(t, "hello yourself"); from != external[0] {
		t.Errorf("peer 1 saw %v, want %v", from, external[0])
	}
	r.Consistent(t)
}

// The host's own services stay reachable by its addresses, and nobody outside
// can speak into a hairpin.
func TestHairpinIsNobodyElses(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	service, err := lab.EchoServer(r.Host, "udp", lab.HostAddress+":9000")
	wire.Must(t, err)
	defer service.Close()
	if seen, err := lab.Ask(ctx, r.Endpoints[1], "udp", lab.HostAddress+":9000"); err != nil || seen.Addr() != wire.EndpointAddress(1) {
		t.Errorf("the host's service saw %v: %v", seen, err)
	}
	server := wire.Listen(t, r.Endpoints[0], "172.16.1.2:80")
	client := wire.Listen(t, r.Endpoints[1], "172.16.1.3:4000")
	client.Send(t, netip.MustParseAddrPort(lab.HostAddress+":8080"), "honest")
	from := server.Expect(t, "honest")
	r.FromRemote(t,
		wire.Segment{Protocol: model.UDP, From: from, To: netip.MustParseAddrPort(lab.HostAddress + ":8080"), Payload: []byte("forged")},
		wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(wire.HostAddress, 77), To: netip.MustParseAddrPort(lab.HostAddress + ":8080"), Payload: []byte("forged")})
	r.Dropped(t, "inside-address-from-outside", 2)
}

// From another network, another NAT, and even another compartment with the
// very same address: what counts is the external address.
func TestHairpinAcrossNetworks(t *testing.T) {
	t.Parallel()
	second := netip.MustParseAddr("203.0.113.10")
	for _, tt := range []struct {
		name    string
		network datapath.Network
		address string
		sees    netip.Addr
	}{
		{"other network", datapath.Network{
			Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
		}, "172.16.2.2", wire.HostAddress},
		{"other NAT", datapath.Network{
			Compartment: wire.RigCompartment, NAT: wire.RigNAT + 10, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
		}, "172.16.2.2", second},
		{"other compartment, same address", datapath.Network{
			Compartment: wire.RigCompartment + 10, NAT: wire.RigNAT + 10, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
		}, "172.16.1.2", second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := dptest.NewTwoNetworkRig(t, tt.network, tt.address)
			for id, protocol := range map[uint32]model.Protocol{1: model.TCP, 2: model.UDP} {
				r.Config.Mappings[id] = dptest.Mapping(protocol, "0.0.0.0:8080", wire.Inside(0, 80))
			}
			r.Apply(t)
			for _, network := range []string{"tcp", "udp"} {
				server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
				wire.Must(t, err)
				defer server.Close()
				seen, err := lab.Ask(wire.WithTimeout(t), r.Endpoints[1], network, lab.HostAddress+":8080")
				if err != nil {
					t.Fatalf("%s: %v; drops %v, sessions %+v", network, err, r.Drops(t), r.Sessions(t))
				}
				if seen.Addr() != tt.sees {
					t.Errorf("%s: the server saw %v, want %v", network, seen, tt.sees)
				}
			}
			r.Consistent(t)
		})
	}
}
