package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/lab"
	"github.com/hostnat/hostnat/internal/nat"
)

func TestIsolatePort(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	bridge := ensureBridge(t, n, testBridge())
	must(t, n.AddTAP("tap0"), n.AddTAP("tap1"))
	ports := make(map[string]int)
	for _, name := range []string{"tap0", "tap1"} {
		on(t, n, func() (err error) { ports[name], err = EnsurePort(t.Context(), name, bridge); return err })
	}
	wantIsolated := func(want map[int]bool) {
		t.Helper()
		on(t, n, func() error {
			links, err := Links(t.Context())
			got := make(map[int]bool)
			for _, l := range links {
				if l.Isolated {
					got[l.Index] = true
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("isolated ports (-want +got):\n%s", diff)
			}
			return err
		})
	}
	wantIsolated(map[int]bool{})
	on(t, n, func() error { return IsolatePort(ports["tap1"], true) })
	wantIsolated(map[int]bool{ports["tap1"]: true})
	on(t, n, func() error { return IsolatePort(ports["tap1"], false) })
	wantIsolated(map[int]bool{})
	// What leaves the bridge leaves its settings there.
	on(t, n, func() error { return IsolatePort(ports["tap0"], true) })
	on(t, n, func() error { return ReleasePort("tap0", bridge) })
	on(t, n, func() (err error) { _, err = EnsurePort(t.Context(), "tap0", bridge); return err })
	wantIsolated(map[int]bool{})
}

// Two bridges have the same gateway. The host's own tables know neither, and
// sockets that are bound to one of them find their way all the same.
func TestBridgesApart(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	const size = 16
	var clients []*net.UDPConn
	for i, name := range []string{"hn-a", "hn-b"} {
		b := testBridge()
		b.Name, b.MAC, b.Apart = name, nat.MAC(fmt.Sprintf("02:68:00:00:00:0%d", i+1)), true
		index := ensureBridge(t, n, b)
		wantQuiet(t, n, func() error { _, err := EnsureBridge(t.Context(), b); return err })
		client, link := newHost(t), "to-"+name
		address := b.Gateway.Addr().Next()
		must(t, lab.Veth(n, link, client, "eth0"), client.AddAddress("eth0", netip.PrefixFrom(address, b.Gateway.Bits()).String()))
		on(t, n, func() error { _, err := EnsurePort(t.Context(), link, index); return err })
		wantSysctl(t, n, "net/ipv4/conf/"+name+"/rp_filter", "0\n")
		on(t, client, func() error {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: address.AsSlice(), Port: 4000})
			clients = append(clients, conn)
			return err
		})
		defer clients[i].Close()
	}
	on(t, n, func() error {
		routes, err := listRoutes(t.Context())
		if len(routes) != 0 {
			t.Errorf("routes %v", routes)
		}
		return err
	})
	for i, name := range []string{"hn-a", "hn-b"} {
		on(t, n, func() error {
			config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
				return errors.Join(c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), name) }), err)
			}}
			conn, err := config.ListenPacket(t.Context(), "udp4", "0.0.0.0:0")
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.WriteTo([]byte(name), clients[i].LocalAddr())
			return err
		})
		buffer := make([]byte, size)
		must(t, clients[i].SetReadDeadline(time.Now().Add(5*time.Second)))
		count, from, err := clients[i].ReadFrom(buffer)
		if err != nil || string(buffer[:count]) != name || from.(*net.UDPAddr).IP.String() != testBridge().Gateway.Addr().String() {
			t.Errorf("behind %s came %q from %v, %v", name, buffer[:count], from, err)
		}
	}
}

// A network that changes its compartment's kind, or comes from a version that
// did not know of it, loses its route.
func TestBridgeLosesItsRoute(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	count := func() (count int) {
		on(t, n, func() error {
			routes, err := listRoutes(t.Context())
			count = len(routes)
			return err
		})
		return count
	}
	for i, apart := range []bool{false, true, false} {
		b := testBridge()
		b.Apart = apart
		ensureBridge(t, n, b)
		must(t, n.AddBridge(fmt.Sprint("br", i)))
		on(t, n, func() error {
			_, added, err := AdoptBridge(t.Context(), "br0", netip.MustParsePrefix("172.16.2.1/24"), apart)
			if !added {
				t.Error("the address is not ours")
			}
			return err
		})
		want := 2
		if apart {
			want = 0
		}
		if got := count(); got != want {
			t.Errorf("round %d: %d routes, want %d", i, got, want)
		}
	}
}
