//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// A user without any rights, who has QEMU, and another one.
const (
	vmUser    = "65534"
	otherUser = "65533"
)

// asUser makes a command one of a user who has no rights but what /dev/net/tun
// gives everybody on an ordinary machine, and of the groups given.
func asUser(user, groups string, argv ...string) []string {
	if groups == "" {
		groups = user
	}
	script := `mount -t tmpfs -o mode=755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec setpriv --reuid "$0" --regid "$0" --groups "$1" --inh-caps=-all --bounding-set=-all -- "${@:2}"`
	return append([]string{"unshare", "--mount", "bash", "-c", script, user, groups}, argv...)
}

// readableImage is the image where everybody can read it.
func readableImage(t *testing.T) (kernel, initramfs string) {
	t.Helper()
	kernel, initramfs = vmImage(t)
	dir, err := os.MkdirTemp("", "vm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []*string{&kernel, &initramfs} {
		b, err := os.ReadFile(*path)
		if err != nil {
			t.Fatal(err)
		}
		*path = filepath.Join(dir, filepath.Base(*path))
		if err := os.WriteFile(*path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return kernel, initramfs
}

const netdevVM0 = "tap,id=n0,vhost=off,script=no,downscript=no,ifname=vm0"

// TestVMOfUser has a user without rights start a VM on a TAP that hostnat made for
// that user. The daemon is killed while the VM runs.
func TestVMOfUser(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	kernel, initramfs := readableImage(t)
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	_, want := outside.writeBig("big")
	e := h.attach("vm1", "--tap", "vm0", "--create", "--user", vmUser)
	h.publish("8080", "vm1:80")

	refused := start(t, h.Host, "other", asUser(otherUser, "", vmCommand(e, netdevVM0, kernel, initramfs, "")...)...)
	waitFor(t, bootLimit, "QEMU of another user to end", refused.hasEnded)
	if out := refused.printed(t); !strings.Contains(out, "Operation not permitted") {
		t.Errorf("QEMU of another user: %s", out)
	}

	vm := start(t, h.Host, "vm", asUser(vmUser, "", vmCommand(e, netdevVM0, kernel, initramfs, outsideURL+"/big")...)...)
	vm.waitPrinted(t, "vm: serving", bootLimit)
	page := fmt.Sprintf("a page from the VM at %s/24\n", e.Addresses[0])
	if got := curl(t, h.Remote, publishedURL+"/"); got != page {
		t.Errorf("published page is %q, want %q", got, page)
	}
	var is api.Endpoint
	if h.read(&is, "endpoint", "show", "vm1"); is.State != api.EndpointUp {
		t.Errorf("with its VM, the endpoint is %s", is.State)
	}
	if err := h.daemon.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.daemon.ended
	if got := curl(t, h.Remote, publishedURL+"/"); got != page {
		t.Errorf("without the daemon, the published page is %q, want %q", got, page)
	}
	h.startDaemon()
	if got := vm.waitPrinted(t, "vm: downloaded", downloadLimit); got != want {
		t.Errorf("the VM downloaded SHA-256 %s, want %s", got, want)
	}
	if got := curl(t, h.Remote, publishedURL+"/"); got != page {
		t.Errorf("with another daemon, the published page is %q, want %q", got, page)
	}
	vm.stop(t)
	waitFor(t, bootLimit, "the endpoint to be idle", func() bool {
		h.read(&is, "endpoint", "show", "vm1")
		return is.State == api.EndpointIdle
	})
	h.hostnat("endpoint", "detach", "vm1")
	if slices.Contains(h.links(), "vm0") {
		t.Error("the TAP stays without its endpoint")
	}
}

// TestVMInNamespace has the TAP in a network namespace of the VM monitor's, where it has
// no other way out, as Firecracker's jailer has it.
func TestVMInNamespace(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	kernel, initramfs := readableImage(t)
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	_, want := outside.writeBig("big")
	jail, err := lab.NewNamespace("jail")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := jail.Close(); err != nil {
			t.Error(err)
		}
	})
	e := h.attach("vm1", "--netns", jail.Path(), "--tap", "vm0", "--create", "--user", vmUser)
	h.publish("8080", "vm1:80")
	vm := start(t, jail, "vm", asUser(vmUser, "", vmCommand(e, netdevVM0, kernel, initramfs, outsideURL+"/big")...)...)
	lease := vm.waitPrinted(t, "vm: lease", bootLimit)
	if !strings.HasPrefix(lease, fmt.Sprintf("%s/24 gateway %s ", e.Addresses[0], e.Gateways[0])) {
		t.Errorf("the VM's lease is %s", lease)
	}
	vm.waitPrinted(t, "vm: serving", bootLimit)
	if got, page := curl(t, h.Remote, publishedURL+"/"), fmt.Sprintf("a page from the VM at %s/24\n", e.Addresses[0]); got != page {
		t.Errorf("published page is %q, want %q", got, page)
	}
	if got := vm.waitPrinted(t, "vm: downloaded", downloadLimit); got != want {
		t.Errorf("the VM downloaded SHA-256 %s, want %s", got, want)
	}
	h.hostnat("endpoint", "detach", "vm1")
	links, err := jail.Links()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(links, []string{"lo"}) {
		t.Errorf("the jail has %q after its endpoint has gone", links)
	}
}
