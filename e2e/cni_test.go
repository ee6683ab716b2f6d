//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestPodmanByCNI: Podman 4.3 of Debian 12, which knows CNI alone. The network is a
// file; ports, names and addresses are what the user says to Podman.
func TestPodmanByCNI(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	need(t, "podman")
	top := lab.StartTopology(t, 0)
	outside := startNginx(t, top.Remote, "outside")
	p := startPodman(t, top.Host, "/")
	if got := p.run("info --format '{{.Version.Version}} {{.Host.NetworkBackend}}'"); !strings.HasPrefix(got, "4.3") || !strings.HasSuffix(got, " cni") {
		t.Fatalf("this is another Podman: %s", got)
	}
	p.image()
	// As docs/cni.md has it.
	p.sh(`cat >/etc/cni/net.d/web.conflist <<'END'
{
  "cniVersion": "0.4.0",
  "name": "web",
  "plugins": [
    {"type": "hostnat", "subnet": "172.20.0.0/24", "capabilities": {"portMappings": true, "ips": true, "mac": true, "aliases": true}}
  ]
}
END`)
	if got := p.run("network ls --format '{{.Name}} {{.Driver}}'"); !strings.Contains(got, "web hostnat") {
		t.Errorf("podman network ls says %q", got)
	}
	p.run("run -d --name c1 --network web -p 8080:80 -p 9000-9009:90-99/udp -p 127.0.0.1:8081:80" + httpd)
	if got := p.run("ps --format '{{.Names}} {{.Ports}}'"); !strings.Contains(got, "0.0.0.0:8080->80/tcp") || !strings.Contains(got, "0.0.0.0:9000-9009->90-99/udp") {
		t.Errorf("podman ps says %q", got)
	}
	if got := p.run("inspect c1 --format '{{.NetworkSettings.Networks.web.IPAddress}} {{.NetworkSettings.Networks.web.Gateway}}'"); got != "172.20.0.2 172.20.0.1" {
		t.Errorf("podman inspect says %q", got)
	}
	if got := p.names("external", "mapping list"); got != "0.0.0.0:8080 0.0.0.0:9000-9009 127.0.0.1:8081" {
		t.Errorf("mappings %q", got)
	}
	if got := curl(t, top.Remote, publishedURL+"/page"); got != "container" {
		t.Errorf("the published page is %q from another machine", got)
	}
	if got := p.page("c1", outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q in the container", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")

	p.run("run -d --name c2 --network web:ip=172.20.0.77,mac=02:00:00:00:00:99,alias=db" + httpd)
	if got := p.names("name", "endpoint list"); got != "c1 c2" {
		t.Errorf("endpoints %q", got)
	}
	if got := p.names("mac", "endpoint list"); !strings.Contains(got, "02:00:00:00:00:99") {
		t.Errorf("endpoints have %q", got)
	}
	for _, url := range []string{"http://c1/page", "http://c1.web.internal/page"} {
		if got := p.page("c2", url); got != "container" {
			t.Errorf("%s is %q", url, got)
		}
	}
	if got := p.page("c1", "http://db/page"); got != "container" {
		t.Errorf("c2's page by its alias is %q", got)
	}

	// A port that is somebody's, and a container that is started again.
	if out := p.refused("run -d --name c3 --network web -p 8080:80" + httpd); !strings.Contains(out, "8080") {
		t.Errorf("a port twice: %s", out)
	}
	_, _ = p.command("sh", "-c", podmanCommand+"rm -f c3").CombinedOutput()
	p.run("restart -t 0 c1")
	waitFor(t, time.Minute, "the page after a restart", func() bool { return tryCurl(top.Remote, publishedURL+"/page") == "container" })

	// The daemon dies; what runs goes on, and what ends meanwhile is collected later.
	p.sh("kill -9 $(cat /tmp/hostnat.pid)")
	if got := curl(t, top.Remote, publishedURL+"/page"); got != "container" {
		t.Errorf("the published page is %q without the daemon", got)
	}
	if out := p.refused("run -d --name c4 --network web" + httpd); !strings.Contains(out, "hostnat daemon is not running") {
		t.Errorf("without the daemon: %s", out)
	}
	_, _ = p.command("sh", "-c", podmanCommand+"rm -f -t 0 c4 c2").CombinedOutput() // it says that the plugin failed
	p.startDaemon()
	p.run("run -d --name c5 --network web" + httpd)
	if got := p.names("name", "endpoint list"); got != "c1 c5" {
		t.Errorf("endpoints %q after what ended without the daemon", got)
	}

	// Several at once, and all of it goes.
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if out, err := p.command("sh", "-c", fmt.Sprintf("%srun -d --name m%d --network web -p %d:80%s", podmanCommand, i, 8100+i, httpd)).CombinedOutput(); err != nil {
				t.Errorf("m%d: %v\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	for i := range 6 {
		if got := curl(t, top.Remote, fmt.Sprintf("http://%s:%d/page", lab.HostAddress, 8100+i)); got != "container" {
			t.Errorf("page %d is %q", i, got)
		}
	}
	p.run("rm -f -t 0 --all")
	if got := p.names("name", "endpoint list") + p.names("external", "mapping list"); got != "" {
		t.Errorf("left: %q", got)
	}
	p.sh("hostnat network delete web; hostnat down")
}
