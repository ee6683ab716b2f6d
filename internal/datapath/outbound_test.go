package datapath

import (
	"context"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/lab"
	"github.com/hostnat/hostnat/internal/nat"
)

func TestOutboundReachesRemote(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Remote, network, lab.RemoteAddress+":7000")
		must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Endpoints[0], network, lab.RemoteAddress+":7000")
		if err != nil {
			t.Fatalf("%s: %v; drops %v", network, err, r.drops(t))
		}
		if seen.Addr() != netip.MustParseAddr(lab.HostAddress) {
			t.Errorf("%s: the remote saw %v, want the host's address", network, seen)
		}
	}
	if _, err := lab.Ping(ctx, r.Endpoints[0], lab.RemoteAddress); err != nil {
		t.Fatalf("ping: %v; drops %v", err, r.drops(t))
	}
	protocols := map[nat.Protocol]bool{}
	for _, s := range r.sessions(t) {
		t.Logf("%+v", s)
		protocols[s.Protocol] = true
		if s.PacketsOut == 0 || s.PacketsIn == 0 {
			t.Errorf("session %+v has no packets", s)
		}
	}
	if len(protocols) != 3 {
		t.Errorf("sessions of %d protocols, want 3", len(protocols))
	}
}

func TestPublishedPortKeepsClientAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for id, protocol := range map[uint32]nat.Protocol{1: nat.TCP, 2: nat.UDP} {
		r.config.Mappings[id] = Mapping{
			NAT: rigNAT, Network: rigNetwork, Compartment: rigCompartment, Protocol: protocol,
			External: netip.MustParseAddrPort("0.0.0.0:8080"), Internal: netip.AddrPortFrom(endpointAddress(0), 80),
		}
	}
	r.apply(t)
	for _, network := range []string{"tcp", "udp"} {
		server, err := lab.EchoServer(r.Endpoints[0], network, "172.16.1.2:80")
		must(t, err)
		defer server.Close()
		seen, err := lab.Ask(ctx, r.Remote, network, lab.HostAddress+":8080")
		if err != nil {
			t.Fatalf("%s: %v; drops %v", network, err, r.drops(t))
		}
		if seen.Addr() != netip.MustParseAddr(lab.RemoteAddress) {
			t.Errorf("%s: the server saw %v, want the remote's own address", network, seen)
		}
	}
	for _, b := range r.bindings(t) {
		t.Logf("%+v", b)
	}
}
