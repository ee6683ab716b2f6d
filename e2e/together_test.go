//go:build e2e

package e2e

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// TestContainersAndVMsByName has VMs on one switch and Docker's containers on
// another, behind one NAT, talk to each other by name, until they may not.
func TestContainersAndVMsByName(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	kernel, initramfs := vmImage(t)
	h := startHost(t, 0)
	h.hostnat("network", "create", "vms", "--isolation", "off")
	h.hostnat("network", "create", "containers", "--isolation", "off")
	d := startDocker(t, h.Host)
	d.importBusybox("e2e", "container")
	pid := d.run("db", "e2e", "/bin/busybox", "httpd", "-f", "-h", "/www", "-p", "80")
	var db api.Endpoint
	h.read(&db, "endpoint", "attach", "containers", "db", "--pid", pid)
	d.docker("exec", "db", "/bin/busybox", "sh", "-c", fmt.Sprintf("echo nameserver %s >/etc/resolv.conf; echo search %s >>/etc/resolv.conf", db.DNS[0], db.Domain))

	if err := h.Host.AddTAP("tap7"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Host.DeleteLink("tap7"); err != nil {
			t.Error(err)
		}
	})
	if err := h.Host.Enslave("tap7", "hn-vms"); err != nil {
		t.Fatal(err)
	}
	vm := startVM(t, h.Host, api.Endpoint{Name: "guest", MAC: "52:54:00:12:34:57"}, "tap7", kernel, initramfs, "http://db.containers.internal/page")
	vm.waitPrinted(t, "vm: serving", bootLimit)
	if got, want := vm.waitPrinted(t, "vm: downloaded", downloadLimit), fmt.Sprintf("%x", sha256.Sum256([]byte("container"))); got != want {
		t.Errorf("what the VM got from the container has SHA-256 %s, want %s", got, want)
	}
	wget := func() (string, error) {
		out, err := d.command("exec", "db", "/bin/busybox", "timeout", "10", "/bin/busybox", "wget", "-q", "-O", "-", "http://guest.vms.internal/").CombinedOutput()
		return string(out), err
	}
	if got, err := wget(); err != nil || !strings.HasPrefix(got, "a page from the VM at ") {
		t.Errorf("what the container got from the VM is %q, %v", got, err)
	}
	h.hostnat("network", "set", "vms", "isolation=on")
	if got, err := wget(); err == nil {
		t.Errorf("what the container got from the VM of an isolated network is %q", got)
	}
}

// TestBridgeOfLibvirt adopts a bridge that somebody made as libvirt does, with a
// machine on it, and gives it back as it was.
func TestBridgeOfLibvirt(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	isc := newISCClient(t, need(t, "dhclient"))
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	n := h.machine("guest", "vnet0", "02:00:00:00:00:b5")
	if err := h.Host.AddBridge("virbr0", "vnet0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Host.DeleteLink("virbr0"); err != nil {
			t.Error(err)
		}
	})
	if err := h.Host.AddAddress("virbr0", "192.168.122.1/24"); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		t.Helper()
		out := output(t, h.Host.Command(t.Context(), "ip", "-4", "-o", "address", "show", "dev", "virbr0"))
		return out + output(t, h.Host.Command(t.Context(), "bridge", "-d", "link", "show", "dev", "vnet0"))
	}
	before := state()
	h.hostnat("network", "create", "libvirt", "--bridge", "virbr0", "--adopt", "--subnet", "192.168.122.0/24")
	isc.start(n, "dhclient")
	isc.waitTold(dhcpLimit, "BOUND 192.168.122.")
	if got := curl(t, n, outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")
	h.hostnat("network", "delete", "libvirt")
	if after := state(); after != before {
		t.Errorf("the bridge before:\n%s\nand after:\n%s", before, after)
	}
}
