package examine

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/hosttest"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestExamine looks at a host that is known, and changes nothing on it.
func TestExamine(t *testing.T) {
	t.Parallel()
	top := lab.StartTopology(t, 0)
	web := host.Bridge{Name: "hn-web", MAC: "02:68:00:00:00:01", MTU: 1400, Gateway: netip.MustParsePrefix("172.16.1.1/24")}
	hosttest.On(t, top.Host, func() error { _, err := host.EnsureBridge(t.Context(), web); return err })
	dockerLike(t, top.Host)
	hosttest.Must(t, top.Host.Sysctl("net/ipv4/conf/hn-web/rp_filter", "1"))
	var x Examination
	changed := watched(t, top.Host)
	hosttest.On(t, top.Host, func() error { x = Host(t.Context(), []string{"hn-web"}); return nil })
	if c := changed(); !cmp.Equal(c, host.Changes{}) {
		t.Errorf("looking at the host changed it: %+v", c)
	}
	if len(x.Unread) > 0 {
		t.Errorf("not looked at: %q", x.Unread)
	}
	if l, there := x.Link("hn-web"); !there || !l.Owned() {
		t.Errorf("links %+v", x.Links)
	}
	if n, known := x.Sysctl("net/ipv4/conf/hn-web/rp_filter"); !known || n != 1 {
		t.Errorf("rp_filter of hn-web: %d, %v", n, known)
	}
	if _, known := x.Sysctl("net/ipv4/nope"); known {
		t.Error("a sysctl that does not exist is known")
	}
	routed := false
	for _, r := range x.Routes {
		routed = routed || r == host.Route{Prefix: netip.MustParsePrefix("172.16.1.0/24"), Link: "hn-web", Table: 254}
	}
	if !routed {
		t.Errorf("routes %+v", x.Routes)
	}
	for _, p := range x.Host.Prefixes {
		if strings.HasSuffix(p.Source, "hn-web") {
			t.Errorf("ours counts as the host's: %+v", p)
		}
	}
	for _, f := range x.Features {
		if f.Missing != "" || f.Unknown || f.Lost == "" {
			t.Errorf("this kernel should have all: %+v", f)
		}
	}
	if x.Host.DefaultInterface != lab.HostLink || len(x.Chains) != 3 || x.Kernel.Major < 6 {
		t.Errorf("%+v", x)
	}
}

// watched returns what was announced since it was called last. First it waits until
// nothing of what went before is announced any more: bridges and veths report their
// carrier late.
func watched(t *testing.T, n *lab.Namespace) func() host.Changes {
	t.Helper()
	var w *host.Watcher
	hosttest.On(t, n, func() (err error) { w, err = host.NewWatcher(); return err })
	t.Cleanup(func() { _ = w.Close() })
	take := func() host.Changes {
		c, err := w.Take()
		hosttest.Must(t, err)
		return c
	}
	for take(); ; {
		time.Sleep(300 * time.Millisecond)
		if cmp.Equal(take(), host.Changes{}) {
			return take
		}
	}
}

func TestMendSysctl(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "a", n, "b"))
	const path = "net/ipv4/conf/a/rp_filter"
	hosttest.On(t, n, func() error { return MendSysctl(path, "2") })
	hosttest.On(t, n, func() error {
		text, err := os.ReadFile(filepath.Join("/proc/sys", path))
		if strings.TrimSpace(string(text)) != "2" {
			t.Errorf("it is %q", text)
		}
		return err
	})
	hosttest.On(t, n, func() error { // ours to set, but only the first namespace has it
		if err := MendSysctl("net/ipv4/neigh/default/gc_thresh3", "4096"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("set in a namespace: %v", err)
		}
		return nil
	})
	for _, bad := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/../../ip_forward/rp_filter", "net/ipv4/conf/a/forwarding", "kernel/core_pattern"} {
		if err := MendSysctl(bad, "1"); err == nil {
			t.Errorf("%s was set", bad)
		}
	}
}

func TestMendBridge(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddBridge("br0"), n.AddAddress("br0", "10.5.0.1/24"))
	hosttest.On(t, n, func() error {
		_, _, err := host.AdoptBridge(t.Context(), "br0", netip.MustParsePrefix("172.16.9.1/24"), false)
		return err
	})
	for _, prefix := range []string{"10.5.0.1/24", "172.16.9.1/24"} { // the first is not ours
		hosttest.On(t, n, func() error { return MendBridge(t.Context(), "br0", prefix) })
	}
	hosttest.On(t, n, func() error {
		links, err := host.Links(t.Context())
		at := slices.IndexFunc(links, func(l host.Link) bool { return l.Name == "br0" })
		if at < 0 || len(links[at].Addresses) != 1 || links[at].Addresses[0].String() != "10.5.0.1/24" {
			t.Errorf("links %+v", links)
		}
		return err
	})
	if err := MendBridge(t.Context(), "br0", "nonsense"); err == nil {
		t.Error("nonsense was taken off")
	}
}

func TestNameservers(t *testing.T) {
	t.Parallel()
	got := nameservers("# by hand\nnameserver 10.1.0.1\nsearch x\n nameserver\t10.1.0.2 # second\nnameserver\nnameserver nonsense\n#nameserver 10.1.0.9\n;nameserver 10.1.0.8\nnameserver fe80::1%eth0")
	want := []string{"10.1.0.1", "10.1.0.2", "fe80::1%eth0"}
	var texts []string
	for _, a := range got {
		texts = append(texts, a.String())
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAskRoot asks one that answers, one that nobody is at, one that says
// nothing, one that talks nonsense, and one that is nowhere.
func TestAskRoot(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, lab.Veth(n, "a", n, "b"), n.AddAddress("a", "10.1.0.1/24"), n.AddAddress("a", "10.1.0.2/24"), n.AddAddress("a", "10.1.0.3/24"), n.AddAddress("a", "10.1.0.4/24"))
	nameServer(t, n, "10.1.0.1:53", func(query []byte) []byte { query[2] |= 0x80; return query })
	nameServer(t, n, "10.1.0.3:53", func([]byte) []byte { return nil })
	nameServer(t, n, "10.1.0.4:53", func([]byte) []byte { return []byte("hello there, who are you?") })
	for address, want := range map[string]string{
		"10.1.0.1": "", "10.1.0.2": "read: connection refused", "10.1.0.3": "no answer within 1.5s",
		"10.1.0.4": "what answers is no name server", "10.9.9.9": "connect: network is unreachable",
	} {
		got := ""
		hosttest.On(t, n, func() error {
			if err := askRoot(t.Context(), netip.MustParseAddr(address)); err != nil {
				got = err.Error()
			}
			return nil
		})
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// nameServer answers each query as told until the test ends.
func nameServer(t *testing.T, n *lab.Namespace, address string, answer func([]byte) []byte) {
	t.Helper()
	var server net.PacketConn
	hosttest.On(t, n, func() (err error) { server, err = net.ListenPacket("udp4", address); return err })
	t.Cleanup(func() { server.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			size, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answer(buf[:size]); reply != nil {
				_, _ = server.WriteTo(reply, from) // the test sees it if it fails
			}
		}
	}()
}

// FuzzNameservers: the file is anybody's.
func FuzzNameservers(f *testing.F) {
	f.Add("nameserver 10.0.0.1\n")
	f.Add("nameserver\nnameserver fe80::1%eth0\n#nameserver 1.1.1.1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range nameservers(text) {
			if !a.IsValid() || !strings.Contains(text, "nameserver") {
				t.Errorf("%q gives %v", text, a)
			}
		}
	})
}
