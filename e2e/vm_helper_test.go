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

// helperGroup is the group hostnat's number on a machine where the package is installed.
const helperGroup = "64321"

// startHelperHost starts a host with the group hostnat, whose socket other users get to, and
// puts the program where everybody can start it, under the name that the package gives it.
func startHelperHost(t *testing.T) (h *host, helper, kernel, initramfs string) {
	t.Helper()
	kernel, initramfs = readableImage(t)
	program, err := os.ReadFile(hostnat)
	if err != nil {
		t.Fatal(err)
	}
	helper = filepath.Join(filepath.Dir(kernel), "hostnat-bridge-helper")
	if err := os.WriteFile(helper, program, 0o755); err != nil {
		t.Fatal(err)
	}
	h = startHostOfGroup(t, 0, helperGroup)
	if err := os.Chmod(filepath.Dir(filepath.Dir(h.run)), 0o711); err != nil {
		t.Fatal(err)
	}
	return h, helper, kernel, initramfs
}

// TestVMByHelperOfEndpoint has QEMU get the TAP of an endpoint by the helper, for a user
// whom the TAP does not name. The endpoint stays when QEMU ends, and another VM gets it.
func TestVMByHelperOfEndpoint(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	h, helper, kernel, initramfs := startHelperHost(t)
	e := h.attach("vm1", "--tap", "vm0", "--create")
	h.publish("8080", "vm1:80")
	netdev := "tap,id=n0,vhost=off,br=hn-web,helper=" + helper + " --endpoint vm1"
	argv := asUser(vmUser, helperGroup, append([]string{"env", "HOSTNAT_SOCKET=" + filepath.Join(h.run, "hostnat.sock")}, vmCommand(e, netdev, kernel, initramfs, "")...)...)
	for range 2 {
		vm := start(t, h.Host, "vm", argv...)
		vm.waitPrinted(t, "vm: serving", bootLimit)
		if got, page := curl(t, h.Remote, publishedURL+"/"), fmt.Sprintf("a page from the VM at %s/24\n", e.Addresses[0]); got != page {
			t.Errorf("published page is %q, want %q", got, page)
		}
		vm.stop(t)
		waitFor(t, bootLimit, "the endpoint to be idle", func() bool {
			var is api.Endpoint
			h.read(&is, "endpoint", "show", "vm1")
			return is.State == api.EndpointIdle
		})
	}
}

// TestVMByHelper has users without rights start VMs on a network's bridge by QEMU's helper
// protocol: a member of the group may, another may not. The port goes with QEMU.
func TestVMByHelper(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	h, helper, kernel, initramfs := startHelperHost(t)
	socket := filepath.Join(h.run, "hostnat.sock")
	outside := startNginx(t, h.Remote, "outside")
	_, want := outside.writeBig("big")
	before := h.links()
	guest := api.Endpoint{Name: "guest", MAC: "52:54:00:12:34:56"}
	vmOf := func(user, groups, bridge string) *process {
		netdev := "tap,id=n0,vhost=off,br=" + bridge + ",helper=" + helper
		argv := asUser(user, groups, append([]string{"env", "HOSTNAT_SOCKET=" + socket}, vmCommand(guest, netdev, kernel, initramfs, outsideURL+"/big")...)...)
		return start(t, h.Host, "vm", argv...)
	}

	for _, tt := range []struct{ user, groups, bridge, says string }{
		{otherUser, "", "hn-web", `only root and members of the group "hostnat" may change anything`},
		{vmUser, helperGroup, "hn-other", `no network has the bridge "hn-other"`},
	} {
		refused := vmOf(tt.user, tt.groups, tt.bridge)
		waitFor(t, bootLimit, "QEMU without a TAP to end", refused.hasEnded)
		if out := refused.printed(t); !strings.Contains(out, tt.says) {
			t.Errorf("QEMU printed %q, want %q", out, tt.says)
		}
	}

	vm := vmOf(vmUser, helperGroup, "hn-web")
	vm.waitPrinted(t, "vm: serving", bootLimit)
	if !slices.Contains(h.links(), "hntap0") {
		t.Errorf("links: %q", h.links())
	}
	var list []api.Endpoint
	h.read(&list, "endpoint", "list")
	if len(list) != 1 || list[0].Name != "guest" || list[0].Kind != "lease" || list[0].MAC != guest.MAC {
		t.Fatalf("endpoints: %+v", list)
	}
	h.publish("8080", "guest:80")
	if got, page := curl(t, h.Remote, publishedURL+"/"), fmt.Sprintf("a page from the VM at %s/24\n", list[0].Addresses[0]); got != page {
		t.Errorf("published page is %q, want %q", got, page)
	}
	if got := vm.waitPrinted(t, "vm: downloaded", downloadLimit); got != want {
		t.Errorf("the VM downloaded SHA-256 %s, want %s", got, want)
	}
	vm.stop(t)
	waitFor(t, bootLimit, "the port to go with QEMU", func() bool { return slices.Equal(h.links(), before) })
}
