//go:build e2e

package e2e

import (
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestDockerContainer attaches a container that Docker started without network.
func TestDockerContainer(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	d := startDocker(t, h.Host)
	d.importBusybox("e2e", "container")
	pid := d.run("c1", "e2e", "/bin/busybox", "httpd", "-f", "-h", "/www", "-p", "80")
	outside := startNginx(t, h.Remote, "outside")

	e := h.attach("c1", "--pid", pid)
	h.publish("8080", "c1:80")
	t.Logf("container is process %s with %s", pid, e.Addresses)

	if got := d.docker("exec", "c1", "/bin/busybox", "wget", "-q", "-O", "-", outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q in the container", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")
	if got := curl(t, h.Remote, publishedURL+"/page"); got != "container" {
		t.Errorf("published page is %q", got)
	}
	_, want := outside.writeBig("big")
	sum := d.docker("exec", "c1", "/bin/busybox", "sh", "-c", "busybox wget -q -O - "+outsideURL+"/big | busybox sha256sum")
	if sum != want+"  -" {
		t.Errorf("downloaded SHA-256 %s, want %s", sum, want)
	}
	if len(h.sessions("--endpoint", "c1")) < 3 {
		t.Errorf("sessions: %+v", h.sessions())
	}
}
