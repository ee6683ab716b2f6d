//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// TestClonedVMs boots one machine twice: with the same MAC, and so with the same
// address. Each finds its way out and is reached by its own port.
func TestClonedVMs(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	kernel, initramfs := vmImage(t)
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	h.hostnat("network", "create", "snap", "--subnet", "172.16.7.0/30", "--compartment", "each")
	const mac = "06:00:ac:10:07:02"
	vms := make(map[string]*process)
	for i, name := range []string{"vm1", "vm2"} {
		tap := fmt.Sprintf("clone%d", i)
		if err := h.Host.AddTAP(tap); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := h.Host.DeleteLink(tap); err != nil {
				t.Error(err)
			}
		})
		var e api.Endpoint
		h.read(&e, "endpoint", "attach", "snap", name, "--tap", tap, "--mac", mac)
		h.publish(fmt.Sprint(8081+i), name+":80")
		vms[name] = startVM(t, h.Host, e, tap, kernel, initramfs, outsideURL+"/page")
	}
	for i, name := range []string{"vm1", "vm2"} {
		vm := vms[name]
		lease := vm.waitPrinted(t, "vm: lease", bootLimit)
		if !strings.HasPrefix(lease, "172.16.7.2/30 gateway 172.16.7.1 ") || !strings.HasSuffix(lease, " domain snap.internal hostname "+name) {
			t.Errorf("the lease of %s is %s", name, lease)
		}
		vm.waitPrinted(t, "vm: serving", bootLimit)
		if got, want := curl(t, h.Remote, fmt.Sprintf("http://203.0.113.1:%d/", 8081+i)), "a page from the VM at 172.16.7.2/30\n"; got != want {
			t.Errorf("the page of %s is %q, want %q", name, got, want)
		}
		vm.waitPrinted(t, "vm: downloaded", downloadLimit)
		outside.expectRequest(lab.HostAddress + " GET /page 200")
		if len(h.sessions("--endpoint", name, "--internal", "172.16.7.2:80")) == 0 {
			t.Errorf("%s was not asked: sessions %+v", name, h.sessions())
		}
	}
}
