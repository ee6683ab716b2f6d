package host

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
)

// attachment is a host with a bridge and a namespace to be attached to it.
type attachment struct {
	host, inside *lab.Namespace
	veth         Veth
}

func newAttachment(t *testing.T) *attachment {
	t.Helper()
	a := &attachment{host: hosttest.New(t), inside: hosttest.New(t)}
	b := testBridge()
	a.veth = Veth{
		Name: "hv-c1", Bridge: ensureBridge(t, a.host, b), Namespace: openNS(t, a.host, a.inside), IfName: "eth0",
		MAC: "02:42:ac:10:01:02", Address: netip.MustParsePrefix("172.16.1.2/24"), Gateway: b.Gateway.Addr(), MTU: b.MTU,
	}
	return a
}

func openNS(t *testing.T, host, inside *lab.Namespace) (n *Namespace) {
	t.Helper()
	hosttest.On(t, host, func() (err error) { n, err = OpenNamespace(model.KindNetns, inside.Name); return err })
	t.Cleanup(func() { n.Close() })
	return n
}

func (a *attachment) ensure(t *testing.T) (index int) {
	t.Helper()
	hosttest.On(t, a.host, func() (err error) { index, err = EnsureVeth(t.Context(), a.veth); return err })
	return index
}

// wantWorking checks both ends and that they talk.
func (a *attachment) wantWorking(t *testing.T, index int) {
	t.Helper()
	out, in := linkNamed(t, a.host, a.veth.Name), linkNamed(t, a.inside, a.veth.IfName)
	if out.Index != index || out.MasterIndex != a.veth.Bridge || !out.Up || !out.Owned() || out.MTU != a.veth.MTU {
		t.Errorf("host side is %+v", out)
	}
	if in.MAC != a.veth.MAC || !in.Up || in.MTU != a.veth.MTU || out.PeerIndex != in.Index {
		t.Errorf("inside is %+v", in)
	}
	if diff := cmp.Diff([]netip.Prefix{a.veth.Address}, in.Addresses, comparePrefixes); diff != "" {
		t.Errorf("addresses inside (-want +got):\n%s", diff)
	}
	wantSysctl(t, a.host, "net/ipv6/conf/"+a.veth.Name+"/disable_ipv6", "1\n")
	if _, err := lab.Ping(t.Context(), a.inside, a.veth.Gateway.String()); err != nil {
		t.Error(err)
	}
	hosttest.On(t, a.inside, func() error {
		facts, err := Facts(t.Context(), nil)
		if facts.DefaultInterface != a.veth.IfName || facts.MTU != a.veth.MTU {
			t.Errorf("default route inside by %q, MTU %d", facts.DefaultInterface, facts.MTU)
		}
		return err
	})
}

func TestEnsureVeth(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	var guarded int
	a.veth.Guard = func(index int) error {
		guarded = index
		if l := linkNamed(t, a.inside, "eth0"); l.Up {
			t.Error("guard is called after the end inside came up")
		}
		return nil
	}
	index := a.ensure(t)
	if guarded != index {
		t.Errorf("guard got index %d, want %d", guarded, index)
	}
	a.veth.Guard = nil
	a.wantWorking(t, index)
	wantQuiet(t, a.host, func() error { _, err := EnsureVeth(t.Context(), a.veth); return err })
	wantQuiet(t, a.inside, func() error {
		return a.host.Do(func() error { _, err := EnsureVeth(t.Context(), a.veth); return err })
	})

	hosttest.Must(t, a.inside.DeleteAddress("eth0", "172.16.1.2/24"), a.inside.AddAddress("eth0", "10.0.0.1/8"),
		a.inside.SetDown("eth0"), a.inside.SetMAC("eth0", []byte{2, 2, 2, 2, 2, 2}), a.inside.SetMTU("eth0", 1500),
		a.host.SetDown("hv-c1"), a.host.SetMTU("hv-c1", 1500), a.inside.SetDown("lo"))
	if again := a.ensure(t); again != index {
		t.Errorf("repair made a new pair: index %d, was %d", again, index)
	}
	a.wantWorking(t, index)

	hosttest.On(t, a.host, func() error { return DeleteLink(a.veth.Name) })
	if _, err := a.inside.Link("eth0"); err == nil {
		t.Error("the end inside outlived the pair")
	}
}

func TestVethFollowsNewNamespace(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	a.ensure(t)
	old := a.inside
	a.inside = hosttest.New(t)
	a.veth.Namespace = openNS(t, a.host, a.inside)
	a.wantWorking(t, a.ensure(t))
	if _, err := old.Link("eth0"); err == nil {
		t.Error("the old namespace kept its end")
	}
}

func TestVethIsMadeAnewAfterRename(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	a.ensure(t)
	a.veth.IfName = "net7"
	a.wantWorking(t, a.ensure(t))
}

func TestVethRefusesTakenName(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	hosttest.Must(t, lab.Veth(a.inside, "eth0", a.inside, "x"))
	hosttest.On(t, a.host, func() error {
		_, err := EnsureVeth(t.Context(), a.veth)
		hosttest.WantRefusal(t, err, model.Conflict, "eth0")
		return nil
	})
	if _, err := a.host.Link(a.veth.Name); err == nil {
		t.Error("a refused attachment left its link")
	}
}

func TestVethRefusesForeignHostLink(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	hosttest.Must(t, lab.Veth(a.host, a.veth.Name, a.host, "x"))
	hosttest.On(t, a.host, func() error {
		_, err := EnsureVeth(t.Context(), a.veth)
		hosttest.WantRefusal(t, err, model.Conflict, a.veth.Name)
		return nil
	})
}

func TestVethIsRemovedIfGuardFails(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	want := errors.New("data path says no")
	a.veth.Guard = func(int) error { return want }
	if err := a.host.Do(func() error { _, err := EnsureVeth(t.Context(), a.veth); return err }); !errors.Is(err, want) {
		t.Errorf("got %v, want the guard's error", err)
	}
	if _, err := a.host.Link(a.veth.Name); err == nil {
		t.Error("a failed attachment left its link")
	}
}

func TestVethLeavesOtherDefaultRoute(t *testing.T) {
	t.Parallel()
	a := newAttachment(t)
	hosttest.Must(t, lab.Veth(a.inside, "eth9", a.inside, "x"), a.inside.AddAddress("eth9", "10.9.0.1/24"), a.inside.AddRoute("0.0.0.0/0", "10.9.0.2"))
	a.ensure(t)
	hosttest.On(t, a.inside, func() error {
		facts, err := Facts(t.Context(), nil)
		if facts.DefaultInterface != "eth9" {
			t.Errorf("default route by %s, want it left at eth9", facts.DefaultInterface)
		}
		return err
	})
}
