//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLibvirtTakesNetwork: what -o libvirt prints is a network to libvirt. Its test
// driver reads and keeps it as the others do, and needs no daemon.
func TestLibvirtTakesNetwork(t *testing.T) {
	virsh := need(t, "virsh")
	h := startHost(t, 0)
	file := filepath.Join(t.TempDir(), "web.xml")
	if err := os.WriteFile(file, []byte(h.hostnat("network", "show", "web", "-o", "libvirt")), 0o644); err != nil {
		t.Fatal(err)
	}
	out := output(t, exec.Command(virsh, "--connect", "test:///default", "net-define "+file+"; net-start web; net-dumpxml web"))
	for _, want := range []string{"<forward mode='bridge'/>", "<bridge name='hn-web'/>", "Network web started"} {
		if !strings.Contains(out, want) {
			t.Errorf("libvirt does not say %s:\n%s", want, out)
		}
	}
}
