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

	"github.com/hostnat/hostnat/internal/lab"
)

// dhcpLimit is how long a client may take on a busy machine.
const dhcpLimit = 30 * time.Second

// plug connects a namespace to the bridge by hand.
func (h *host) plug(name, mac string) *lab.Namespace {
	h.t.Helper()
	n, err := lab.NewNamespace("e2e-" + name)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { n.Close() })
	if err := lab.Veth(h.Host, "p-"+name, n, "eth0"); err != nil {
		h.t.Fatal(err)
	}
	out, err := n.Command(context.Background(), "ip", "link", "set", "eth0", "address", mac).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
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
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte(`#!/bin/sh
case $1 in bound|renew)
	ip address replace $ip/$mask dev $interface
	ip link set $interface mtu $mtu
	ip route replace default via $router
	echo "$1 $ip/$mask router $router dns $dns domain $domain hostname $hostname mtu $mtu lease $lease"
esac
`), 0o755); err != nil {
		t.Fatal(err)
	}
	c := start(t, n, "udhcpc", busybox, "udhcpc", "-f", "-i", "eth0", "-R", "-s", script, "-x", "hostname:box", "-O", "mtu", "-O", "hostname")
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
	dir := t.TempDir()
	config := filepath.Join(dir, "dhclient.conf")
	text := "request subnet-mask, routers, domain-name, domain-name-servers, host-name, interface-mtu;\ntimeout 20;\nretry 1;\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// Its own script would change this machine's resolv.conf.
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte(`#!/bin/sh
case $reason in BOUND|RENEW|REBOOT)
	ip address replace $new_ip_address/24 dev $interface
	ip link set $interface mtu $new_interface_mtu
	ip route replace default via $new_routers
	echo "$reason $new_ip_address $new_subnet_mask $new_routers $new_domain_name_servers $new_domain_name $new_host_name" >>`+dir+`/told
esac
exit 0
`), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"BOUND", "REBOOT"} {
		argv := []string{dhclient, "-4", "-1", "-d", "-cf", config, "-sf", script, "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "eth0"}
		c := start(t, n, "dhclient-"+strings.ToLower(reason), argv...)
		want := fmt.Sprintf("%s %s 255.255.255.0 172.16.1.1 172.16.1.1 web.internal isc\n", reason, e.Address)
		waitFor(t, dhcpLimit, "dhclient to be told "+want, func() bool {
			told, _ := os.ReadFile(filepath.Join(dir, "told"))
			return strings.Contains(string(told), want)
		})
		if got := curl(t, n, outsideURL+"/page"); got != "outside" {
			t.Errorf("outside page is %q", got)
		}
		c.stop(t)
	}
}
