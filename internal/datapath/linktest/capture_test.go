package linktest

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// What a wish leaves out of a capture is left out by the programs themselves: a flood of what
// nobody wants takes no room from what somebody wants.
func TestCaptureOfWhatIsWished(t *testing.T) {
	t.Parallel()
	r := dptest.NewTwoNetworkRig(t, datapath.Network{
		Compartment: wire.RigCompartment, NAT: wire.RigNAT, Subnet: netip.MustParsePrefix("172.16.2.0/24"), Gateway: netip.MustParseAddr("172.16.2.1"),
	}, "172.16.2.2")
	server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
	clients := []wire.Peer{wire.Listen(t, r.Endpoints[0], "172.16.1.2:4000"), wire.Listen(t, r.Endpoints[1], "172.16.2.2:4000")}
	c, err := r.Datapath.OpenCapture(datapath.CaptureWish{})
	wire.Must(t, err)
	defer func() { wire.Must(t, c.Close()) }()

	isolated, martian := "isolated-network", "martian-destination"
	for round, tt := range []struct {
		wish  datapath.CaptureWish
		holds func(p *datapath.Captured) bool
		want  int // packets of the round at least
	}{
		{datapath.CaptureWish{}, func(*datapath.Captured) bool { return true }, 4},
		{
			datapath.CaptureWish{CaptureWish: model.CaptureWish{Verdicts: model.VerdictsOf(model.VerdictDropped)}},
			func(p *datapath.Captured) bool { return p.Verdict == model.VerdictDropped }, 2,
		},
		{
			datapath.CaptureWish{CaptureWish: model.CaptureWish{Verdicts: model.VerdictsOf(model.VerdictSent)}},
			func(p *datapath.Captured) bool { return p.Verdict == model.VerdictSent }, 2,
		},
		{
			datapath.CaptureWish{CaptureWish: model.CaptureWish{Reason: martian}},
			func(p *datapath.Captured) bool { return p.Reason.String() == martian }, 1,
		},
		{
			datapath.CaptureWish{NetworkNumber: wire.RigNetwork},
			func(p *datapath.Captured) bool {
				return p.Network == wire.RigNetwork || p.Session != nil && p.Session.Network == wire.RigNetwork
			}, 2,
		},
		{
			datapath.CaptureWish{NetworkNumber: wire.RigNetwork, CaptureWish: model.CaptureWish{Reason: isolated}},
			func(p *datapath.Captured) bool { return p.Network == wire.RigNetwork && p.Reason.String() == isolated }, 1,
		},
		{datapath.CaptureWish{NetworkNumber: wire.RigNetwork, CaptureWish: model.CaptureWish{Reason: martian}}, func(*datapath.Captured) bool { return false }, 0},
	} {
		wire.Must(t, c.Want(func() datapath.CaptureWish { return tt.wish }))
		for i, client := range clients { // both networks send outside
			client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), fmt.Sprint("from ", i))
			server.Expect(t, fmt.Sprint("from ", i))
		}
		// The first has a packet dropped for one reason, the second for another.
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4100), To: netip.MustParseAddrPort("172.16.2.2:4100")})
		r.Send(t, r.Endpoints[1], "eth0", wire.Ethernet(dptest.EndpointMAC(1), wire.SecondMAC, wire.EtherIPv4,
			wire.Segment{Protocol: model.UDP, From: netip.MustParseAddrPort("172.16.2.2:4100"), To: netip.MustParseAddrPort("127.0.0.1:9")}.IP()))
		r.Dropped(t, isolated, uint64(round+1))
		r.Dropped(t, martian, uint64(round+1))
		got := readCapture(t, c, tt.wish)
		for i := range got {
			if p := &got[i]; !tt.holds(p) {
				t.Errorf("%+v: %s %v of network %d", tt.wish, p.Verdict, p.Reason, p.Network)
			}
		}
		if len(got) < tt.want {
			t.Errorf("%+v: %d packets, want %d", tt.wish, len(got), tt.want)
		}
	}
}

// readCapture is all that has been captured until now.
func readCapture(t *testing.T, c *datapath.Capture, wish datapath.CaptureWish) (all []datapath.Captured) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	want := func() error { return c.Want(func() datapath.CaptureWish { return wish }) }
	wire.Must(t, c.Run(ctx, want, func(packets []datapath.Captured, lost uint64) {
		all = append(all, packets...)
		if lost > 0 {
			t.Errorf("%d packets were lost", lost)
		}
		if len(packets) == 0 { // all that there was has been read
			stop()
		}
	}))
	return all
}
