package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

func TestIsolatePort(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	bridge := ensureBridge(t, n, testBridge())
	hosttest.Must(t, n.AddTAP("tap0"), n.AddTAP("tap1"))
	ports := make(map[string]int)
	for _, name := range []string{"tap0", "tap1"} {
		hosttest.On(t, n, func() (err error) { ports[name], err = EnsurePort(t.Context(), name, bridge); return err })
	}
	wantIsolated := func(want map[int]bool) {
		t.Helper()
		hosttest.On(t, n, func() error {
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
	hosttest.On(t, n, func() error { return IsolatePort(ports["tap1"], true) })
	wantIsolated(map[int]bool{ports["tap1"]: true})
	hosttest.On(t, n, func() error { return IsolatePort(ports["tap1"], false) })
	wantIsolated(map[int]bool{})
	// What leaves the bridge leaves its settings there.
	hosttest.On(t, n, func() error { return IsolatePort(ports["tap0"], true) })
	hosttest.On(t, n, func() error { return ReleasePort("tap0", bridge) })
	hosttest.On(t, n, func() (err error) { _, err = EnsurePort(t.Context(), "tap0", bridge); return err })
	wantIsolated(map[int]bool{})
}

// Two bridges have the same gateway. The host's own tables know neither, and
// sockets that are bound to one of them find their way all the same.
func TestUnroutedBridges(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	const size = 16
	var clients []*net.UDPConn
	for i, name := range []string{"hn-a", "hn-b"} {
		b := testBridge()
		b.Name, b.MAC, b.Unrouted = name, model.MAC(fmt.Sprintf("02:68:00:00:00:0%d", i+1)), true
		index := ensureBridge(t, n, b)
		wantQuiet(t, n, func() error { _, err := EnsureBridge(t.Context(), b); return err })
		client, link := hosttest.New(t), "to-"+name
		address := b.Gateway.Addr().Next()
		hosttest.Must(t, lab.Veth(n, link, client, "eth0"), client.AddAddress("eth0", netip.PrefixFrom(address, b.Gateway.Bits()).String()))
		hosttest.On(t, n, func() error { _, err := EnsurePort(t.Context(), link, index); return err })
		wantUnrouted(t, n, name)
		hosttest.On(t, client, func() error {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: address.AsSlice(), Port: 4000})
			clients = append(clients, conn)
			return err
		})
		defer clients[i].Close()
	}
	hosttest.On(t, n, func() error {
		routes, err := listRoutes(t.Context())
		if len(routes) != 0 {
			t.Errorf("routes %v", routes)
		}
		return err
	})
	for i, name := range []string{"hn-a", "hn-b"} {
		hosttest.On(t, n, func() error {
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
		hosttest.Must(t, clients[i].SetReadDeadline(time.Now().Add(5*time.Second)))
		count, from, err := clients[i].ReadFrom(buffer)
		if err != nil || string(buffer[:count]) != name || from.(*net.UDPAddr).IP.String() != testBridge().Gateway.Addr().String() {
			t.Errorf("behind %s came %q from %v, %v", name, buffer[:count], from, err)
		}
	}
}

func wantUnrouted(t *testing.T, n *lab.Namespace, link string) {
	t.Helper()
	for _, s := range unroutedSettings {
		wantSysctl(t, n, "net/ipv4/conf/"+link+"/"+s.key, s.value+"\n")
	}
	hosttest.On(t, n, func() error {
		if !isUnrouted(link) {
			t.Errorf("the settings of %s are not seen", link)
		}
		return nil
	})
}

// TestUnroutedBridgeOfTheSameSubnet: the host's LAN has the subnet of a bridge that
// its routing tables leave out. What the host sends there, to all of it too, goes
// there, whichever was first.
func TestUnroutedBridgeOfTheSameSubnet(t *testing.T) {
	t.Parallel()
	for _, lanFirst := range []bool{true, false} {
		n := hosttest.New(t)
		hosttest.Must(t, lab.Veth(n, "lan0", n, "lan1"))
		lan := func() { hosttest.Must(t, n.AddAddress("lan0", "172.16.1.77/24")) }
		if lanFirst {
			lan()
		}
		b := testBridge()
		b.Unrouted, b.Gateway = true, netip.PrefixFrom(b.Gateway.Addr(), 32)
		ensureBridge(t, n, b)
		if !lanFirst {
			lan()
		}
		hosttest.On(t, n, func() error {
			for _, to := range []string{"172.16.1.255", "172.16.1.9"} {
				routes, err := netlink.RouteGet(net.ParseIP(to))
				if err != nil {
					return err
				}
				link, err := netlink.LinkByIndex(routes[0].LinkIndex)
				if err != nil || link.Attrs().Name != "lan0" {
					t.Errorf("LAN first %v: what is for %s leaves by %v, %v", lanFirst, to, link, err)
				}
			}
			return nil
		})
	}
}

// TestFilterOfBridges: a filter of sources that is strict, for all or for new
// links, does not keep endpoints from the gateway.
func TestFilterOfBridges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ all, byDefault, routed, unrouted string }{
		{"0", "0", "0", "0"}, {"0", "1", "2", "0"}, {"1", "0", "2", "2"}, {"2", "1", "1", "0"},
	} {
		n := hosttest.New(t)
		hosttest.Must(t, n.Sysctl("net/ipv4/conf/all/rp_filter", tt.all), n.Sysctl("net/ipv4/conf/default/rp_filter", tt.byDefault))
		for name, want := range map[string]string{"hn-a": tt.routed, "hn-b": tt.unrouted} {
			b := testBridge()
			b.Name, b.Unrouted = name, name == "hn-b"
			ensureBridge(t, n, b)
			wantSysctl(t, n, "net/ipv4/conf/"+name+"/rp_filter", want+"\n")
			wantQuiet(t, n, func() error { _, err := EnsureBridge(t.Context(), b); return err })
			l := linkNamed(t, n, name)
			fits := func() (fits bool) {
				hosttest.On(t, n, func() error { fits = SettingsFit(l); return nil })
				return fits
			}
			if !fits() {
				t.Errorf("%+v: the settings of %s are not seen", tt, name)
			}
			hosttest.Must(t, n.Sysctl("net/ipv4/conf/all/rp_filter", "0"), n.Sysctl("net/ipv4/conf/"+name+"/rp_filter", "1"))
			if fits() {
				t.Errorf("%+v: it is not seen that %s is strict", tt, name)
			}
			hosttest.Must(t, n.Sysctl("net/ipv4/conf/all/rp_filter", tt.all))
		}
	}
}

// TestGatewayBehindTheLAN: of two equal prefixes the host goes by its LAN's. A
// version before gave the bridge's the same metric, and had the first one go before.
func TestGatewayBehindTheLAN(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddBridge("br0"))
	bridges := map[string]func() error{
		"hn-web": func() error { _, err := EnsureBridge(t.Context(), testBridge()); return err },
		"br0":    func() error { _, _, err := AdoptBridge(t.Context(), "br0", testBridge().Gateway, false); return err },
	}
	hosttest.On(t, n, bridges["hn-web"])
	for name, ensure := range bridges {
		hosttest.On(t, n, func() error {
			link, err := findLink(name)
			if err == nil && name == "br0" {
				err = sendAddress(unix.RTM_NEWADDR, unix.NLM_F_CREATE, link, address{prefix: testBridge().Gateway, routed: true}, addressMark)
			} else if err == nil {
				err = sendAddress(unix.RTM_NEWADDR, unix.NLM_F_REPLACE, link, address{prefix: testBridge().Gateway, routed: true}, addressMark)
			}
			return err
		})
		hosttest.On(t, n, ensure)
		wantQuiet(t, n, ensure)
		hosttest.On(t, n, func() error {
			link, err := findLink(name)
			if err != nil {
				return err
			}
			all, err := addressesOf(t.Context(), link)
			if len(all) != 1 || all[0].metric != gatewayMetric || !all[0].marked {
				t.Errorf("%s has %+v", name, all)
			}
			return err
		})
	}
	hosttest.Must(t, lab.Veth(n, "lan0", n, "lan1"), n.AddAddress("lan0", "172.16.1.77/24"))
	hosttest.On(t, n, func() error {
		routes, err := netlink.RouteGet(net.ParseIP("172.16.1.9"))
		if err != nil {
			return err
		}
		link, err := netlink.LinkByIndex(routes[0].LinkIndex)
		if err != nil || link.Attrs().Name != "lan0" {
			t.Errorf("the LAN is looked for at %v, %v", link, err)
		}
		return nil
	})
}

// TestAdoptUnroutedBridge: what the owner gave the bridge is enough, whatever its
// length, and what a version before gave it is not.
func TestAdoptUnroutedBridge(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	gateway := netip.MustParsePrefix("172.16.2.1/32")
	adopt := func(name string, prefix netip.Prefix, unrouted bool) (added bool) {
		hosttest.On(t, n, func() (err error) { _, added, err = AdoptBridge(t.Context(), name, prefix, unrouted); return err })
		return added
	}
	hosttest.Must(t, n.AddBridge("own"), n.AddAddress("own", "172.16.2.1/24"), n.AddBridge("old"))
	if adopt("own", gateway, true) {
		t.Error("the owner's address is not seen")
	}
	if !adopt("old", netip.MustParsePrefix("172.16.2.1/24"), true) || !adopt("old", gateway, true) {
		t.Error("the address is not ours")
	}
	if l := linkNamed(t, n, "old"); !slices.Equal(l.Addresses, []netip.Prefix{gateway}) || !slices.Equal(l.Lent, l.Addresses) {
		t.Errorf("%+v", l)
	}
}

// A network that changes its compartment's kind, or comes from a version that
// did not know of it, loses its route.
func TestBridgeLosesItsRoute(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	count := func() (count int) {
		hosttest.On(t, n, func() error {
			routes, err := listRoutes(t.Context())
			count = len(routes)
			return err
		})
		return count
	}
	for i, unrouted := range []bool{false, true, false} {
		b := testBridge()
		b.Unrouted = unrouted
		ensureBridge(t, n, b)
		hosttest.Must(t, n.AddBridge(fmt.Sprint("br", i)))
		hosttest.On(t, n, func() error {
			_, added, err := AdoptBridge(t.Context(), "br0", netip.MustParsePrefix("172.16.2.1/24"), unrouted)
			if !added {
				t.Error("the address is not ours")
			}
			return err
		})
		want := 2
		if unrouted {
			want = 0
		}
		if got := count(); got != want {
			t.Errorf("round %d: %d routes, want %d", i, got, want)
		}
	}
}
