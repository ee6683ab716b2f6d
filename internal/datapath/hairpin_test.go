package datapath

import (
	"context"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 4787 REQ-9, RFC 5382 REQ-8: endpoints reach each other, and themselves,
// by external addresses; the receiver sees the sender's external one.
func TestHairpinToPublishedPort(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	for id, protocol := range map[uint32]model.Protocol{1: model.TCP, 2: model.UDP} {
		r.config.Mappings[id] = mapping(protocol, "0.0.0.0:8080", inside(0, 80))
	}
	r.apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
		must(t, err)
		defer server.Close()
		for i, who := range []string{"itself", "its neighbour"} {
			seen, err := lab.Ask(ctx, r.Endpoints[i], network, lab.HostAddress+":8080")
			if err != nil {
				t.Fatalf("%s from %s: %v; drops %v, sessions %+v", network, who, err, r.drops(t), r.sessions(t))
			}
			if seen.Addr() != hostAddress {
				t.Errorf("%s from %s: the server saw %v, want the external address", network, who, seen)
			}
		}
	}
	r.consistent(t)
}

// Two endpoints that know each other's external address from a third party, as
// peers do; address-dependent filtering counts external addresses as well.
func TestHairpinBetweenDynamicBindings(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	server := listen(t, r.Remote, lab.RemoteAddress+":3478")
	var peers [2]peer
	var external [2]netip.AddrPort
	for i := range peers {
		peers[i] = listen(t, r.Endpoints[i], netip.AddrPortFrom(endpointAddress(i), 4000).String())
		peers[i].send(t, netip.MustParseAddrPort(lab.RemoteAddress+":3478"), "who am I?")
		external[i] = server.expect(t, "who am I?")
	}
	peers[0].send(t, external[1], "blocked") // peer 1 has not talked to this address yet
	r.dropped(t, "filtered-remote", 1)
	peers[1].send(t, external[0], "hello")
	if from := peers[0].expect(t, "hello"); from != external[1] {
		t.Errorf("peer 0 saw %v, want %v", from, external[1])
	}
	peers[0].send(t, external[1], "hello yourself")
	if from := peers[1].expect(t, "hello yourself"); from != external[0] {
		t.Errorf("peer 1 saw %v, want %v", from, external[0])
	}
	r.consistent(t)
}

// The host's own services stay reachable by its addresses, and nobody outside
// can speak into a hairpin.
func TestHairpinIsNobodyElses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	service, err := lab.EchoServer(r.Host, "udp", lab.HostAddress+":9000")
	must(t, err)
	defer service.Close()
	if seen, err := lab.Ask(ctx, r.Endpoints[1], "udp", lab.HostAddress+":9000"); err != nil || seen.Addr() != endpointAddress(1) {
		t.Errorf("the host's service saw %v: %v", seen, err)
	}
	server := listen(t, r.Endpoints[0], "172.16.1.2:80")
	client := listen(t, r.Endpoints[1], "172.16.1.3:4000")
	client.send(t, netip.MustParseAddrPort(lab.HostAddress+":8080"), "honest")
	from := server.expect(t, "honest")
	r.fromRemote(t,
		segment{protocol: model.UDP, from: from, to: netip.MustParseAddrPort(lab.HostAddress + ":8080"), payload: []byte("forged")},
		segment{protocol: model.UDP, from: netip.AddrPortFrom(hostAddress, 77), to: netip.MustParseAddrPort(lab.HostAddress + ":8080"), payload: []byte("forged")})
	r.dropped(t, "inside-address-from-outside", 2)
}

// From another network, another NAT, and even another compartment with the
// very same address: what counts is the external address.
func TestHairpinAcrossNetworks(t *testing.T) {
	t.Parallel()
	second := netip.MustParseAddr("203.0.113.10")
	for _, tt := range []struct {
		name    string
		network Network
		address string
		sees    netip.Addr
	}{
		{"other network", Network{
			Compartment: rigCompartment, NAT: rigNAT, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
		}, "172.16.2.2", hostAddress},
		{"other NAT", Network{
			Compartment: rigCompartment, NAT: rigNAT + 10, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
		}, "172.16.2.2", second},
		{"other compartment, same address", Network{
			Compartment: rigCompartment + 10, NAT: rigNAT + 10, Subnet: netip.MustParsePrefix("172.16.1.0/24"), Gateway: netip.MustParseAddr("172.16.1.1"),
		}, "172.16.1.2", second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newTwoNetworkRig(t, tt.network, tt.address)
			for id, protocol := range map[uint32]model.Protocol{1: model.TCP, 2: model.UDP} {
				r.config.Mappings[id] = mapping(protocol, "0.0.0.0:8080", inside(0, 80))
			}
			r.apply(t)
			for _, network := range []string{"tcp", "udp"} {
				server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
				must(t, err)
				defer server.Close()
				seen, err := lab.Ask(withTimeout(t), r.Endpoints[1], network, lab.HostAddress+":8080")
				if err != nil {
					t.Fatalf("%s: %v; drops %v, sessions %+v", network, err, r.drops(t), r.sessions(t))
				}
				if seen.Addr() != tt.sees {
					t.Errorf("%s: the server saw %v, want %v", network, seen, tt.sees)
				}
			}
			r.consistent(t)
		})
	}
}
