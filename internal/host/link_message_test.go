package host

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// What is parsed here is what package netlink, which many use, makes of it.
func TestLinksAreAsPackageNetlinkReadsThem(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	other := hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "a", n, "b"), lab.Veth(n, "c", other, "d"), n.AddTAP("tap0"), n.AddAddress("a", "10.0.0.1/24"))
	bridge := ensureBridge(t, n, testBridge())
	hosttest.On(t, n, func() error {
		port, err := EnsurePort(t.Context(), "tap0", bridge)
		hosttest.Must(t, err, IsolatePort(port, true))
		return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "over-a", ParentIndex: linkIndex(t, "a")}, Mode: netlink.MACVLAN_MODE_BRIDGE})
	})
	hosttest.On(t, n, func() error {
		got, err := Links(t.Context())
		hosttest.Must(t, err)
		list, err := netlink.LinkList()
		hosttest.Must(t, err)
		var want []Link
		for _, l := range list {
			want = append(want, linkFrom(l))
		}
		slices.SortFunc(want, func(a, b Link) int { return a.Index - b.Index })
		bare := slices.Clone(got)
		for i := range bare {
			b := &bare[i] // without what that package leaves out
			b.Addresses, b.Unrouted, b.Narrow, b.Isolated, b.Forwards = nil, nil, nil, false, false
		}
		if diff := cmp.Diff(want, bare); diff != "" {
			t.Errorf("links (-netlink +ours):\n%s", diff)
		}
		for _, l := range got {
			if l.Isolated != (l.Name == "tap0") {
				t.Errorf("link %s: isolated %v", l.Name, l.Isolated)
			}
			if l.Forwards != (l.Name == testBridge().Name) {
				t.Errorf("link %s: forwards %v", l.Name, l.Forwards)
			}
			at, found, err := LinkAt(t.Context(), l.Index)
			if err != nil || !found || !at.Equal(l) {
				t.Errorf("by its index link %s is %+v (%v, %v), want %+v", l.Name, at, found, err, l)
			}
		}
		return nil
	})
}

func linkIndex(t *testing.T, name string) int {
	t.Helper()
	l, err := netlink.LinkByName(name)
	hosttest.Must(t, err)
	return l.Attrs().Index
}

func TestLinkAtThatIsNotThere(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.On(t, n, func() error {
		for _, index := range []int{-1, 0, 4711} {
			if l, found, err := LinkAt(t.Context(), index); found || err != nil {
				t.Errorf("link %d: %+v, %v, want none", index, l, err)
			}
		}
		return nil
	})
}

// Whatever the bytes are, they are parsed or refused.
func FuzzLinkMessage(f *testing.F) {
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Index = 7
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(infoKind, nl.ZeroTerminated("veth"))
	info.AddRtAttr(infoSlaveKind, nl.ZeroTerminated("bridge"))
	info.AddRtAttr(infoSlaveData, nil).AddRtAttr(nl.IFLA_BRPORT_ISOLATED, []byte{1})
	message := head.Serialize()
	for _, a := range []*nl.RtAttr{nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("a")), nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(1500)), info} {
		message = append(message, a.Serialize()...)
	}
	if l, err := parseLink(message); err != nil || l.Name != "a" || l.Type != "veth" || !l.Isolated || l.MTU != 1500 {
		f.Fatalf("%+v, %v", l, err)
	}
	f.Add(message)
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseLink(b) })
}

func FuzzChanges(f *testing.F) {
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Index = 7
	f.Add(append([]byte{32, 0, 0, 0, unix.RTM_NEWLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, head.Serialize()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Changes
		c.add(b)
	})
}
