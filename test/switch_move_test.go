package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// A VM that is moved to another port of the switch is reached there within a second: whether its
// old port is gone, has no carrier any more, or is just silent.
func TestMachineMovesToAnotherPort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		leave func(l *switchLab, p *plugged) error
	}{
		{"the old port is gone", func(l *switchLab, p *plugged) error { return l.Host.DeleteLink(p.port) }},
		{"the old port has no carrier", func(_ *switchLab, p *plugged) error { return p.SetDown("eth0") }},
		{"the old port is silent", func(_ *switchLab, p *plugged) error {
			return p.DeleteAddress("eth0", p.address.String()+"/24")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const moves = 3
			l := newSwitchLab(t)
			mac, address := hardware(5, 1), netip.MustParseAddr("172.16.1.50")
			vm := l.plug("vm0", mac)
			l.guarded(vm)
			l.settle(vm, address)
			peer := l.plug("peer", hardware(5, 2))
			l.settle(peer, netip.MustParseAddr("172.16.1.51"))
			outside, err := lab.EchoServer(l.Remote, "udp", lab.RemoteAddress+":7")
			l.check(err)
			l.servers = append(l.servers, outside)
			var took []time.Duration
			for i := range moves {
				next := l.plug(fmt.Sprintf("vm%d", i+1), mac)
				l.guarded(next)
				l.check(tt.leave(l, vm))
				begin := time.Now()
				l.check(next.AddAddress("eth0", address.String()+"/24"))
				l.check(next.AddRoute("0.0.0.0/0", l.gateway.Address.String()))
				l.remembers(next, l.gateway.Address.String(), string(l.gateway.MAC))
				l.remembers(next, peer.address.String(), peer.mac.String())
				next.address = address
				l.reached(next, peer)
				took = append(took, time.Since(begin))
				vm = next
			}
			slices.Sort(took)
			limit := time.Second
			if os.Getenv(HostileTime) == "" {
				limit *= 3 // a busy machine
			}
			t.Logf("reached after %v", took)
			if took[0] > limit { // the others tell how busy the machine is
				t.Errorf("the fastest of %d moves took %v", moves, took[0])
			}
			if last := took[moves-1]; last > 5*limit {
				t.Errorf("a move took %v", last)
			}
		})
	}
}

// remembers gives a machine what it knew of a neighbour before it was moved: it
// comes with its memory.
func (l *switchLab) remembers(p *plugged, address, mac string) {
	l.t.Helper()
	out, err := p.Command(context.Background(), "ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "reachable").CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v: %s", p.port, err, out)
	}
}

// guarded waits until a port is checked: until what no machine sends is refused there.
func (l *switchLab) guarded(p *plugged) {
	l.t.Helper()
	spanningTree := ethernet(p.mac, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0}, 38, append([]byte{0x42, 0x42, 3}, make([]byte, 57)...))
	l.await(p.port+" to be checked", func() bool {
		l.check(lab.SendFrames(p.Namespace, "eth0", spanningTree))
		s, err := l.client().Status(l.t.Context())
		l.check(err)
		return slices.ContainsFunc(s.Problems, func(text string) bool { return strings.HasPrefix(text, "port "+p.port+" of hn-web: ") })
	})
}

// reached waits until a machine reaches the outside and is reached by its neighbour.
func (l *switchLab) reached(vm, peer *plugged) {
	l.t.Helper()
	const try = 50 * time.Millisecond
	l.await(vm.port+" reaches the outside", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), try)
		defer cancel()
		_, err := lab.Ask(ctx, vm.Namespace, "udp", lab.RemoteAddress+":7")
		return err == nil
	})
	l.await(vm.port+" is reached by its neighbour", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), try)
		defer cancel()
		_, err := lab.Ping(ctx, peer.Namespace, vm.address.String())
		return err == nil
	})
}
