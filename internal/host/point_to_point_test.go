package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
)

func testPointToPoint() PointToPoint {
	return PointToPoint{
		MAC: "02:68:6e:80:00:09", Gateway: netip.MustParsePrefix("172.16.1.1/24"),
		Endpoint: netip.MustParseAddr("172.16.1.2"), EndpointMAC: "02:42:ac:10:01:02",
	}
}

// wantPinned checks which neighbours a link knows for good.
func wantPinned(t *testing.T, n *lab.Namespace, link string, want ...string) {
	t.Helper()
	out, err := n.Command(t.Context(), "ip", "-4", "neigh", "show", "dev", link, "nud", "permanent").Output()
	hosttest.Must(t, err)
	var got []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		got = append(got, fields[0]+" "+fields[2])
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s of %s knows %q for good, want %q", link, n.Name, got, want)
	}
}

func noGuard(int) error { return nil }

func TestEnsurePointToPoint(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddTAP("tap0"), n.SetDown("tap0"), n.Sysctl("net/ipv4/conf/tap0/rp_filter", "2"), n.Sysctl("net/ipv4/conf/tap0/arp_ignore", "8"))
	was := linkNamed(t, n, "tap0")
	wanted := testPointToPoint()
	var index int
	guarded := 0
	guard := func(at int) error {
		guarded = at
		if l := linkNamed(t, n, "tap0"); len(l.Addresses) > 0 || l.Up {
			t.Errorf("guard is called after the host can be reached: %+v", l)
		}
		return nil
	}
	hosttest.On(t, n, func() (err error) { index, err = EnsurePointToPoint(t.Context(), "tap0", wanted, guard); return err })
	l := linkNamed(t, n, "tap0")
	if guarded != index || l.Index != index || l.MAC != wanted.MAC || !l.Up || !l.PointToPoint || l.Owned() ||
		!slices.Equal(l.Unrouted, []netip.Prefix{wanted.Gateway}) || !slices.Equal(l.Lent, l.Unrouted) {
		t.Errorf("link is %+v", l)
	}
	wantUnrouted(t, n, "tap0")
	wantPinned(t, n, "tap0", "172.16.1.2 02:42:ac:10:01:02")
	hosttest.On(t, n, func() error { return CheckPointToPoint(t.Context(), "tap0") })
	wantQuiet(t, n, func() error { _, err := EnsurePointToPoint(t.Context(), "tap0", wanted, noGuard); return err })

	// Another gateway takes the place of the first; an address of the owner's stays.
	hosttest.Must(t, n.AddAddress("tap0", "192.0.2.7/32"))
	moved := wanted
	moved.Gateway, moved.Endpoint = netip.MustParsePrefix("172.16.9.1/24"), netip.MustParseAddr("172.16.9.2")
	hosttest.On(t, n, func() error { _, err := EnsurePointToPoint(t.Context(), "tap0", moved, noGuard); return err })
	if l := linkNamed(t, n, "tap0"); !slices.Equal(l.Lent, []netip.Prefix{moved.Gateway}) || len(l.Addresses) != 2 {
		t.Errorf("moved link is %+v", l)
	}
	wantPinned(t, n, "tap0", "172.16.9.2 02:42:ac:10:01:02")
	hosttest.Must(t, n.DeleteAddress("tap0", "192.0.2.7/32"))

	hosttest.On(t, n, func() error { return ReleasePointToPoint(t.Context(), "tap0") })
	hosttest.On(t, n, func() error { return ReleasePointToPoint(t.Context(), "tap0") })
	hosttest.On(t, n, func() error { return ReleasePointToPoint(t.Context(), "tap9") })
	if l := linkNamed(t, n, "tap0"); l.MAC != was.MAC || l.PointToPoint || len(l.Addresses) > 0 {
		t.Errorf("released link is %+v, it was %+v", l, was)
	}
	wantSysctl(t, n, "net/ipv4/conf/tap0/rp_filter", "2\n")
	wantSysctl(t, n, "net/ipv4/conf/tap0/accept_local", "0\n")
	wantSysctl(t, n, "net/ipv4/conf/tap0/arp_ignore", "8\n")
	wantPinned(t, n, "tap0")
}

// A guard that fails leaves the host without an address there.
func TestEnsurePointToPointWithoutGuard(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddTAP("tap0"))
	failure := errors.New("no program")
	hosttest.On(t, n, func() error {
		_, err := EnsurePointToPoint(t.Context(), "tap0", testPointToPoint(), func(int) error { return failure })
		if !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if l := linkNamed(t, n, "tap0"); len(l.Addresses) > 0 || !l.PointToPoint {
		t.Errorf("link is %+v", l)
	}
}

func TestEnsurePointToPointRefuses(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddTAP("tap0"), n.AddBridge("other", "tap0"), lab.Veth(n, "uplink", n, "x"), n.AddAddress("uplink", "192.0.2.7/24"))
	for link, want := range map[string]struct {
		code   model.Code
		naming string
	}{
		"tap9": {model.NotFound, "tap9"}, "tap0": {model.Conflict, "other"}, "lo": {model.Conflict, "lo"}, "uplink": {model.Conflict, "192.0.2.7"},
	} {
		hosttest.On(t, n, func() error {
			_, err := EnsurePointToPoint(t.Context(), link, testPointToPoint(), noGuard)
			hosttest.WantRefusal(t, err, want.code, want.naming)
			hosttest.WantRefusal(t, CheckPointToPoint(t.Context(), link), want.code, want.naming)
			return nil
		})
	}
}

// Two endpoints with one MAC and one address, each behind a gateway with one MAC
// and one address, and no route to either.
func TestEnsureVethAsPointToPoint(t *testing.T) {
	t.Parallel()
	host := hosttest.New(t)
	for _, name := range []string{"hv-c1", "hv-c2"} {
		inside := hosttest.New(t)
		v := Veth{
			Name: name, PointToPoint: testPointToPoint(), Namespace: openNS(t, host, inside), IfName: "eth0",
			MAC: "02:42:ac:10:01:02", Address: netip.MustParsePrefix("172.16.1.2/24"), Gateway: netip.MustParseAddr("172.16.1.1"), MTU: 1400,
			GatewayMAC: testPointToPoint().MAC,
		}
		hosttest.On(t, host, func() error { _, err := EnsureVeth(t.Context(), v); return err })
		wantQuiet(t, host, func() error { _, err := EnsureVeth(t.Context(), v); return err })
		l := linkNamed(t, host, name)
		if l.MAC != v.PointToPoint.MAC || l.MasterIndex != 0 || !l.Up || !l.Owned() || l.PointToPoint || len(l.Lent) > 0 ||
			!slices.Equal(l.Unrouted, []netip.Prefix{v.PointToPoint.Gateway}) {
			t.Errorf("host side is %+v", l)
		}
		if in := linkNamed(t, inside, "eth0"); in.MAC != v.MAC || !slices.Equal(in.Addresses, []netip.Prefix{v.Address}) {
			t.Errorf("inside is %+v", in)
		}
		wantPinned(t, host, name, "172.16.1.2 02:42:ac:10:01:02")
		wantPinned(t, inside, "eth0", "172.16.1.1 02:68:6e:80:00:09")
		v.Gateway = netip.MustParseAddr("172.16.1.9")
		hosttest.On(t, host, func() error { _, err := EnsureVeth(t.Context(), v); return err })
		wantPinned(t, inside, "eth0", "172.16.1.9 02:68:6e:80:00:09")
	}
	routes, err := host.Routes()
	if err != nil || len(routes) > 0 {
		t.Errorf("the host has routes %v, %v", routes, err)
	}
}

// TestPointToPointOfBefore: the mark of a version before has one setting. It is completed
// with what that version did not set; without, the rest stays as it is.
func TestPointToPointOfBefore(t *testing.T) {
	t.Parallel()
	for _, adopted := range []bool{false, true} {
		n := hosttest.New(t)
		hosttest.Must(t, n.AddTAP("tap0"), n.Sysctl("net/ipv4/conf/tap0/rp_filter", "0"), n.Sysctl("net/ipv4/conf/tap0/arp_ignore", "2"))
		mark := ""
		hosttest.On(t, n, func() error {
			link, err := findLink("tap0")
			if err != nil {
				return err
			}
			mark = fmt.Sprintf("hostnat-was-02aabbccddee-2-%d", link.Attrs().Index)
			return netlink.LinkAddAltName(link, mark)
		})
		if adopted {
			ensure := func() error {
				_, err := EnsurePointToPoint(t.Context(), "tap0", testPointToPoint(), noGuard)
				return err
			}
			hosttest.On(t, n, ensure)
			wantUnrouted(t, n, "tap0")
			wantQuiet(t, n, ensure)
			names := linkAttrs(t, n, "tap0").AltNames
			if len(names) != 1 || !strings.HasPrefix(names[0], "hostnat-was-02aabbccddee-202-") {
				t.Errorf("marks are %v", names)
			}
			// Who was killed in between has left both.
			hosttest.On(t, n, func() error {
				link, err := findLink("tap0")
				if err != nil {
					return err
				}
				return netlink.LinkAddAltName(link, mark)
			})
		}
		hosttest.On(t, n, func() error { return ReleasePointToPoint(t.Context(), "tap0") })
		wantSysctl(t, n, "net/ipv4/conf/tap0/rp_filter", "2\n")
		wantSysctl(t, n, "net/ipv4/conf/tap0/accept_local", "0\n")
		wantSysctl(t, n, "net/ipv4/conf/tap0/arp_ignore", "2\n")
		if l := linkNamed(t, n, "tap0"); l.MAC != "02:aa:bb:cc:dd:ee" || l.PointToPoint || len(linkAttrs(t, n, "tap0").AltNames) > 0 {
			t.Errorf("adopted %v: given back as %+v", adopted, l)
		}
	}
}

func linkAttrs(t *testing.T, n *lab.Namespace, name string) *netlink.LinkAttrs {
	t.Helper()
	attrs, err := n.Link(name)
	hosttest.Must(t, err)
	return attrs
}

func FuzzParseWas(f *testing.F) {
	for _, text := range []string{"hostnat-was-02aabbccddee-2-17", "hostnat-was-02aabbccddee-018-17", "hostnat-was-", "hostnat-was-02aabbccddee-9-17", "hostnat-was-0-0-0", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mac, settings, err := parseWas(text)
		if err == nil && (len(mac) != 6 || settings < "0" || settings > "888" || len(settings) > len(unroutedSettings)) {
			t.Errorf("%q is %v, %q", text, mac, settings)
		}
	})
}
