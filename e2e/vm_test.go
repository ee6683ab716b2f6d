//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// How long an emulated VM may take on a busy machine; an idle one needs 4 s
// and 6 s.
const (
	bootLimit     = 90 * time.Second
	downloadLimit = 120 * time.Second
	namesLimit    = 5 * time.Second // of the guest's time; the bar is 1 s, on an idle machine
)

// TestVM boots a VM on a TAP. It gets its address by DHCP, downloads 100 MB and
// serves a page.
func TestVM(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	kernel, initramfs := vmImage(t)
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	_, want := outside.writeBig("big")

	if err := h.Host.AddTAP("vm0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Host.DeleteLink("vm0"); err != nil {
			t.Error(err)
		}
	})
	e := h.attach("vm1", "--tap", "vm0")
	h.publish("8080", "vm1:80")
	vm := startVM(t, h.Host, e, "vm0", kernel, initramfs, outsideURL+"/big")

	lease := vm.waitPrinted(t, "vm: lease", bootLimit)
	if want := fmt.Sprintf("%s/24 gateway %s mtu %d dns %s domain web.internal hostname vm1", e.Addresses[0], e.Gateways[0], e.MTU, e.Gateways[0]); lease != want {
		t.Errorf("the VM's lease is %s, want %s", lease, want)
	}
	var ms, failures int
	names := vm.waitPrinted(t, "vm: names after", bootLimit)
	if _, err := fmt.Sscanf(names, "%d ms, %d failures", &ms, &failures); err != nil || time.Duration(ms)*time.Millisecond > namesLimit || failures > 0 {
		t.Errorf("from DISCOVER to names: %s, want at most %v without a failure", names, namesLimit)
	}
	t.Logf("from the first DISCOVER to a name that is found: %d ms of the guest's time", ms)
	vm.waitPrinted(t, "vm: serving", bootLimit)
	page := fmt.Sprintf("a page from the VM at %s/24\n", e.Addresses[0])
	if got := curl(t, h.Remote, publishedURL+"/"); got != page {
		t.Errorf("published page is %q, want %q", got, page)
	}
	if got := vm.waitPrinted(t, "vm: downloaded", downloadLimit); got != want {
		t.Errorf("the VM downloaded SHA-256 %s, want %s", got, want)
	}
	outside.expectRequest(lab.HostAddress + " GET /big 200")
	if strings.Contains(vm.printed(t), "vm: failed") {
		t.Errorf("the VM's console:\n%s", vm.printed(t))
	}
	if len(h.sessions("--endpoint", "vm1")) < 2 {
		t.Errorf("sessions: %+v", h.sessions())
	}
}

// TestVMOnTheBridge boots a VM on a TAP that was put into the bridge by hand. It
// is known by the name that it gives itself.
func TestVMOnTheBridge(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	kernel, initramfs := vmImage(t)
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	if err := h.Host.AddTAP("tap7"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Host.DeleteLink("tap7"); err != nil {
			t.Error(err)
		}
	})
	if err := h.Host.Enslave("tap7", "hn-web"); err != nil {
		t.Fatal(err)
	}
	vm := startVM(t, h.Host, api.Endpoint{Name: "guest", MAC: "52:54:00:12:34:56"}, "tap7", kernel, initramfs, outsideURL+"/page")
	vm.waitPrinted(t, "vm: serving", bootLimit)
	var list []api.Endpoint
	h.read(&list, "endpoint", "list")
	if len(list) != 1 || list[0].Name != "guest" || list[0].Kind != "lease" || list[0].MAC != "52:54:00:12:34:56" {
		t.Fatalf("endpoints: %+v", list)
	}
	h.publish("8080", "guest:80")
	if got, want := curl(t, h.Remote, publishedURL+"/"), fmt.Sprintf("a page from the VM at %s/24\n", list[0].Addresses[0]); got != want {
		t.Errorf("published page is %q, want %q", got, want)
	}
	vm.waitPrinted(t, "vm: downloaded", downloadLimit)
	outside.expectRequest(lab.HostAddress + " GET /page 200")
}

// startVM boots the image on a TAP of n; the process's output is the console.
// QEMU uses vnet_hdr by itself: large packets and missing checksums reach the
// data path.
func startVM(t *testing.T, n *lab.Namespace, e api.Endpoint, tap, kernel, initramfs, download string) *process {
	t.Helper()
	return start(t, n, "vm", vmCommand(e, "tap,id=n0,vhost=off,script=no,downscript=no,ifname="+tap, kernel, initramfs, download)...)
}

func vmCommand(e api.Endpoint, netdev, kernel, initramfs, download string) []string {
	words := fmt.Sprintf("console=ttyS0 quiet panic=-1 NAME=%s URL=%s", e.Name, download)
	return []string{"qemu-system-x86_64", "-accel", "tcg", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initramfs, "-append", words,
		"-netdev", netdev, "-device", "virtio-net-pci,netdev=n0,romfile=,mac=" + e.MAC}
}

// vmImage builds what the VM boots, unless an earlier run has.
func vmImage(t *testing.T) (kernel, initramfs string) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the VM image is for amd64")
	}
	need(t, "qemu-system-x86_64")
	need(t, "busybox")
	need(t, "apt-get")
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "hostnat", "e2e-vm")
	if out, err := exec.CommandContext(t.Context(), "../scripts/e2e-vm-image.sh", dir).CombinedOutput(); err != nil {
		missing(t, "build the VM image: %v\n%s", err, out)
	}
	return filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initramfs.gz")
}
