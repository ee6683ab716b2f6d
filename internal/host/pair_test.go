package host

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
)

// take moves a link of the host into a namespace, as container engines do, and brings it
// up there with its address.
func (a *attachment) take(t *testing.T, name string) {
	t.Helper()
	hosttest.On(t, a.host, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(link, int(a.veth.Namespace.file.Fd()))
	})
	hosttest.Must(t, a.inside.Rename(name, "eth0"), a.inside.AddAddress("eth0", a.veth.Address.String()), a.inside.SetUp("eth0"))
}

func TestEnsurePair(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	a.veth.IfName = "hp-c1"
	ensure := func() {
		t.Helper()
		hosttest.On(t, a.host, func() error { return EnsurePair(t.Context(), a.veth) })
	}
	waits := func() {
		t.Helper()
		ensure()
		out, end := linkNamed(t, a.host, "hv-c1"), linkNamed(t, a.host, "hp-c1")
		if out.MasterIndex != a.veth.Bridge || !out.Up || !out.Owned() || out.MTU != a.veth.MTU || out.PeerIndex != end.Index {
			t.Errorf("host side is %+v", out)
		}
		if end.MAC != a.veth.MAC || end.Up || end.MTU != a.veth.MTU || !end.Owned() {
			t.Errorf("the end that waits is %+v", end)
		}
		wantQuiet(t, a.host, func() error { return EnsurePair(t.Context(), a.veth) })
	}
	waits()
	// As a kill right after its creation leaves it.
	hosttest.Must(t, a.host.SetDown("hv-c1"), a.host.SetAlias("hv-c1", ""), a.host.SetAlias("hp-c1", ""))
	waits()

	before := linkNamed(t, a.host, "hv-c1").Index
	a.take(t, "hp-c1")
	wantQuiet(t, a.host, func() error { return EnsurePair(t.Context(), a.veth) })
	if now := linkNamed(t, a.host, "hv-c1").Index; now != before {
		t.Errorf("a pair whose end was taken is made anew: %d, was %d", now, before)
	}
	if _, err := lab.Ping(t.Context(), a.inside, a.veth.Gateway.String()); err != nil {
		t.Error(err)
	}
	hosttest.Must(t, a.inside.DeleteLink("eth0"))
	waits() // again

	hosttest.Must(t, a.host.DeleteLink("hv-c1"), lab.Veth(a.host, "hv-c1", a.host, "x"))
	hosttest.On(t, a.host, func() error {
		hosttest.WantRefusal(t, EnsurePair(t.Context(), a.veth), "conflict", "hv-c1")
		return nil
	})
}
