package host

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
)

var comparePrefixes = cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}, netip.AddrPort{})

func ensureBridge(t *testing.T, n *lab.Namespace, b Bridge) (index int) {
	t.Helper()
	hosttest.On(t, n, func() (err error) { index, err = EnsureBridge(t.Context(), b); return err })
	return index
}

func TestEnsureBridge(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	b := testBridge()
	index := ensureBridge(t, n, b)
	want := Link{Index: index, Name: b.Name, Type: "bridge", MAC: b.MAC, MTU: b.MTU, Up: true, HasEthernet: true,
		Alias: Owner, PeerNSID: -1, Addresses: []netip.Prefix{b.Gateway}, Forwards: true}
	if diff := cmp.Diff(want, linkNamed(t, n, b.Name), comparePrefixes); diff != "" {
		t.Errorf("bridge (-want +got):\n%s", diff)
	}
	wantSysctl(t, n, "net/ipv6/conf/hn-web/disable_ipv6", "1\n")
	wantQuiet(t, n, func() error { _, err := EnsureBridge(t.Context(), b); return err })

	t.Run("repairs", func(t *testing.T) {
		hosttest.Must(t, n.DeleteAddress(b.Name, b.Gateway.String()), n.AddAddress(b.Name, "10.1.1.1/24"), n.SetDown(b.Name), n.SetMTU(b.Name, 1500))
		ensureBridge(t, n, b)
		if diff := cmp.Diff(want, linkNamed(t, n, b.Name), comparePrefixes); diff != "" {
			t.Errorf("bridge (-want +got):\n%s", diff)
		}
	})
	t.Run("keeps its MTU beside a smaller port", func(t *testing.T) {
		hosttest.Must(t, lab.Veth(n, "a", n, "b"), n.SetMTU("a", 1280))
		hosttest.On(t, n, func() error { _, err := EnsurePort(t.Context(), "a", index); return err })
		ensureBridge(t, n, b)
		if got := linkNamed(t, n, b.Name).MTU; got != b.MTU {
			t.Errorf("MTU %d, want %d", got, b.MTU)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		hosttest.On(t, n, func() error { return DeleteLink(b.Name) })
		hosttest.On(t, n, func() error { return DeleteLink(b.Name) })
		if _, err := n.Link(b.Name); err == nil {
			t.Error("bridge is still there")
		}
	})
}

func TestEnsureBridgeAfterKillBetweenAddAndMark(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	b := testBridge()
	hosttest.Must(t, n.AddBridge(b.Name), n.SetDown(b.Name), n.SetMAC(b.Name, []byte{0x02, 0x68, 0, 0, 0, 1}))
	ensureBridge(t, n, b)
	if l := linkNamed(t, n, b.Name); !l.Owned() || !l.Up {
		t.Errorf("left as %+v", l)
	}
}

func TestForeignBridgeIsLeftAlone(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddBridge("hn-web"))
	hosttest.On(t, n, func() error {
		_, err := EnsureBridge(t.Context(), testBridge())
		hosttest.WantRefusal(t, err, model.Conflict, "hn-web")
		hosttest.WantRefusal(t, DeleteLink("hn-web"), model.Conflict, "hn-web")
		return nil
	})
}

func TestAdoptBridge(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	gateway := netip.MustParsePrefix("192.0.2.1/24")
	hosttest.Must(t, n.AddBridge("br0"), n.AddAddress("br0", "198.51.100.1/24"), n.AddTAP("tap0"))
	adopt := func(want bool) {
		t.Helper()
		hosttest.On(t, n, func() error {
			index, added, err := AdoptBridge(t.Context(), "br0", gateway, false)
			if added != want || index == 0 {
				t.Errorf("adopt: index %d, added %v, want %v", index, added, want)
			}
			return err
		})
	}
	adopt(true)
	adopt(true) // still ours after a restart
	wantQuiet(t, n, func() error { _, _, err := AdoptBridge(t.Context(), "br0", gateway, false); return err })
	if diff := cmp.Diff([]netip.Prefix{gateway}, linkNamed(t, n, "br0").Lent, comparePrefixes); diff != "" {
		t.Errorf("lent addresses (-want +got):\n%s", diff)
	}
	hosttest.On(t, n, func() error { return ReleaseBridge(t.Context(), "br0", gateway) })
	hosttest.On(t, n, func() error { return ReleaseBridge(t.Context(), "br0", gateway) })
	want := []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}
	if diff := cmp.Diff(want, linkNamed(t, n, "br0").Addresses, comparePrefixes); diff != "" {
		t.Errorf("addresses after release (-want +got):\n%s", diff)
	}
	hosttest.Must(t, n.AddAddress("br0", gateway.String()))
	adopt(false) // the host's own address
	hosttest.On(t, n, func() error {
		_, _, err := AdoptBridge(t.Context(), "br9", gateway, false)
		hosttest.WantRefusal(t, err, model.NotFound, "br9")
		_, _, err = AdoptBridge(t.Context(), "tap0", gateway, false)
		hosttest.WantRefusal(t, err, model.Conflict, "tap0")
		return ReleaseBridge(t.Context(), "br9", gateway)
	})
}

func TestAnchorLink(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.Sysctl("net/ipv4/ip_forward", "0"))
	var index int
	hosttest.On(t, n, func() (err error) { index, err = AnchorLink(); return err })
	if l := linkNamed(t, n, AnchorName); l.Up || l.Index != index || !l.Owned() {
		t.Errorf("anchor is %+v, want it down, owned, index %d", l, index)
	}
	wantSysctl(t, n, "net/ipv4/conf/hostnat0/forwarding", "1\n")
	wantSysctl(t, n, "net/ipv4/ip_forward", "0\n")
	wantQuiet(t, n, func() error { _, err := AnchorLink(); return err })
}

func wantSysctl(t *testing.T, n *lab.Namespace, path, want string) {
	t.Helper()
	hosttest.On(t, n, func() error {
		got, err := os.ReadFile("/proc/sys/" + path)
		if string(got) != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
		return err
	})
}

func TestLinkNamesThatAreNotLinks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "all", "default", "..", ".", "a/b", "../all", "a b", "0123456789abcdef"} {
		if err := DeleteLink(name); model.CodeOf(err) != model.Invalid {
			t.Errorf("DeleteLink(%q) = %v, want it refused as invalid", name, err)
		}
	}
}
