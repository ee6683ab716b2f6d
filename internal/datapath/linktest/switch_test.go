package linktest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/host"
)

// TestFramesAreHandedOver: machines of one network reach each other, attached and
// plugged in, where the bridge forwards nothing. Isolated ones do not.
func TestFramesAreHandedOver(t *testing.T) {
	t.Parallel()
	r := newSwitchRig(t, true)
	addresses := []netip.Addr{wire.EndpointAddress(0), unmanaged.Addr(), atNeighbour}
	for i, a := range addresses[1:] {
		wire.Must(t, r.Endpoints[i+1].AddAddress("eth0", netip.PrefixFrom(a, 24).String()))
	}
	peers := make([]wire.Peer, len(addresses))
	for i, a := range addresses {
		peers[i] = wire.Listen(t, r.Endpoints[i], netip.AddrPortFrom(a, 5000).String())
	}
	talk := func(what string, from, to int) {
		t.Helper()
		peers[from].Send(t, netip.AddrPortFrom(addresses[to], 5000), what)
		peers[to].Expect(t, what)
	}
	all := func(what string) {
		t.Helper()
		for from := range addresses {
			for to := range addresses {
				if from != to {
					talk(what, from, to)
				}
			}
		}
	}
	all("by the bridge") // and everybody knows everybody's MAC
	n := r.Config.Networks[wire.RigNetwork]
	n.Switched = true
	r.Config.Networks[wire.RigNetwork] = n
	r.Apply(t)
	isolate := func(on bool) {
		t.Helper()
		wire.Must(t, r.Host.Do(func() error {
			for index, inside := range r.Config.Insides {
				if inside.Bridge {
					continue
				}
				if err := host.IsolatePort(int(index), on); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	isolate(true)
	all("past the bridge")
	n.EndpointsIsolated = true
	r.Config.Networks[wire.RigNetwork] = n
	r.Apply(t)
	peers[0].Send(t, netip.AddrPortFrom(addresses[1], 5000), "isolated")
	peers[1].Send(t, netip.AddrPortFrom(addresses[2], 5000), "isolated")
	n.EndpointsIsolated = false
	r.Config.Networks[wire.RigNetwork] = n
	r.Apply(t)
	all("again") // nothing has come in between
	r.Consistent(t)
}

// TestMoreThanAPortTakes: what the other's link does not take is not handed over.
func TestMoreThanAPortTakes(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	n := r.Config.Networks[wire.RigNetwork]
	n.Switched = true
	r.Config.Networks[wire.RigNetwork] = n
	for i := range r.Config.Endpoints {
		if r.Config.Endpoints[i].Address == wire.EndpointAddress(1) {
			r.Config.Endpoints[i].MTU = 1000
		}
	}
	r.Apply(t)
	a := wire.Listen(t, r.Endpoints[0], "172.16.1.2:5000")
	b := wire.Listen(t, r.Endpoints[1], "172.16.1.3:5000")
	to := netip.MustParseAddrPort("172.16.1.3:5000")
	a.Send(t, to, string(wire.Long("the bridge goes by its own", 1200)))
	b.Expect(t, string(wire.Long("the bridge goes by its own", 1200)))
	a.Send(t, to, "small")
	b.Expect(t, "small")
}
