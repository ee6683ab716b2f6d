//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// dhcpLimit is how long a client may take on a busy machine.
const dhcpLimit = 30 * time.Second

// machine makes a namespace with a card of that MAC, whose other end is a link of
// the host.
func (h *host) machine(name, link, mac string) *lab.Namespace {
	h.t.Helper()
	n, err := lab.NewNamespace("e2e-" + name)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { n.Close() })
	if err := lab.Veth(h.Host, link, n, "eth0"); err != nil {
		h.t.Fatal(err)
	}
	out, err := n.Command(context.Background(), "ip", "link", "set", "eth0", "address", mac).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	return n
}

// plug connects a machine to the bridge by hand.
func (h *host) plug(name, mac string) *lab.Namespace {
	h.t.Helper()
	n := h.machine(name, "p-"+name, mac)
	if err := h.Host.Enslave("p-"+name, "hn-web"); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestUdhcpc gets an address for a namespace with busybox's client, which also
// renews it and gives it back.
func TestUdhcpc(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	busybox := need(t, "busybox")
	h := startHost(t, 0)
	h.hostnat("network", "set", "web", "lease-time=8s", "mtu=1400")
	outside := startNginx(t, h.Remote, "outside")
	n := h.plug("udhcpc", "02:00:00:00:00:b1")
	c := startUdhcpc(t, n, busybox)
	lease := c.waitPrinted(t, "bound ", dhcpLimit)
	if !strings.HasSuffix(lease, "/24 router 172.16.1.1 dns 172.16.1.1 domain web.internal hostname box mtu 1400 lease 8") {
		t.Errorf("lease: %s", lease)
	}
	if got := curl(t, n, outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")
	if again := c.waitPrinted(t, "renew ", dhcpLimit); again != lease {
		t.Errorf("renewed: %s, had %s", again, lease)
	}
	c.stop(t)
	waitFor(t, dhcpLimit, "the address to be given back", func() bool {
		return strings.Contains(h.hostnat("lease", "list"), "released")
	})
}

// startUdhcpc starts busybox's client, which prints what it was told.
func startUdhcpc(t *testing.T, n *lab.Namespace, busybox string) *process {
	t.Helper()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte(`#!/bin/sh
case $1 in bound|renew)
	ip -4 -o address show dev $interface | grep -q " $ip/" || ip address flush dev $interface scope global
	ip address replace $ip/$mask dev $interface
	ip link set $interface mtu $mtu
	ip route replace default via $router
	echo "$1 $ip/$mask router $router dns $dns domain $domain hostname $hostname mtu $mtu lease $lease"
esac
`), 0o755); err != nil {
		t.Fatal(err)
	}
	return start(t, n, "udhcpc", busybox, "udhcpc", "-f", "-i", "eth0", "-R", "-s", script, "-x", "hostname:box", "-O", "mtu", "-O", "hostname")
}

// TestDhclient does the same with ISC's client, for an endpoint that is attached
// by its port: it gets the endpoint's address, after a restart of its own too.
func TestDhclient(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	dhclient := need(t, "dhclient")
	h := startHost(t, 0)
	startNginx(t, h.Remote, "outside")
	n := h.plug("isc", "02:00:00:00:00:b2")
	e := h.attach("isc", "--port", "p-isc", "--mac", "02:00:00:00:00:b2")
	c := newISCClient(t, dhclient)
	for _, reason := range []string{"BOUND", "REBOOT"} {
		p := c.start(n, "dhclient-"+strings.ToLower(reason))
		c.waitTold(dhcpLimit, fmt.Sprintf("%s %s 255.255.255.0 172.16.1.1 172.16.1.1 web.internal isc\n", reason, e.Addresses[0]))
		if got := curl(t, n, outsideURL+"/page"); got != "outside" {
			t.Errorf("outside page is %q", got)
		}
		p.stop(t)
	}
}

// iscClient is ISC's dhclient with files of the test's own.
type iscClient struct {
	t            *testing.T
	program, dir string
}

func newISCClient(t *testing.T, program string) iscClient {
	t.Helper()
	c := iscClient{t, program, t.TempDir()}
	config := "request subnet-mask, routers, domain-name, domain-name-servers, host-name, interface-mtu;\ntimeout 20;\nretry 1;\n"
	// Its own script would change this machine's resolv.conf.
	script := `#!/bin/sh
case $reason in BOUND|RENEW|REBIND|REBOOT)
	[ "$old_ip_address" = "$new_ip_address" ] || ip address flush dev $interface scope global
	ip address replace $new_ip_address/24 dev $interface
	ip link set $interface mtu $new_interface_mtu
	ip route replace default via $new_routers
	echo "$reason $new_ip_address $new_subnet_mask $new_routers $new_domain_name_servers $new_domain_name $new_host_name" >>` + c.dir + `/told
esac
exit 0
`
	for name, text := range map[string]string{"dhclient.conf": config, "script": script} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c iscClient) start(n *lab.Namespace, name string) *process {
	c.t.Helper()
	in := func(name string) string { return filepath.Join(c.dir, name) }
	return start(c.t, n, name, c.program, "-4", "-1", "-d", "-cf", in("dhclient.conf"), "-sf", in("script"), "-lf", in("leases"), "-pf", in("pid"), "eth0")
}

// waitTold waits until the server has told the client that.
func (c iscClient) waitTold(limit time.Duration, what string) {
	c.t.Helper()
	waitFor(c.t, limit, "dhclient to be told "+what, func() bool {
		told, _ := os.ReadFile(filepath.Join(c.dir, "told"))
		return strings.Contains(string(told), what)
	})
}

// renumberLimit is from an overlap to a client that works again. The bar is 10 s, in
// which dhclient asks by broadcast most of the time; it repeats itself after a time
// that it draws.
const renumberLimit = 20 * time.Second

// TestClientOfANetworkThatMoves: the host meets the network's own prefix, the
// network moves, and a machine that hostnat knows by its lease alone follows.
func TestClientOfANetworkThatMoves(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	isc := newISCClient(t, need(t, "dhclient"))
	h := startHost(t, 0)
	h.hostnat("network", "set", "web", "overlap=renumber")
	startNginx(t, h.Remote, "outside")
	n := h.plug("isc", "02:00:00:00:00:b2")
	isc.start(n, "dhclient")
	isc.waitTold(dhcpLimit, "BOUND 172.16.1.")
	began := time.Now()
	if err := h.Host.AddAddress("lo", "172.16.1.77/24"); err != nil {
		t.Fatal(err)
	}
	isc.waitTold(renumberLimit, "BOUND 172.16.0.")
	t.Logf("the client has an address of the new subnet after %v", time.Since(began))
	if got := curl(t, n, outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q", got)
	}
}
