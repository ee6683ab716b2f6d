//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestDocker26 has Debian 13's Docker use the driver: its API and its calls are newer.
func TestDocker26(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	top := lab.StartTopology(t, 0)
	outside := startNginx(t, top.Remote, "outside")
	m := startRoot(t, top.Host, trixie(t))
	m.startDaemon("--docker-driver")
	m.sh("e2e-docker")
	if got := m.sh("docker version -f '{{.Server.Version}}'"); !strings.HasPrefix(got, "26.") {
		t.Fatalf("this is another Docker: %s", got)
	}
	m.sh("docker network create -d hostnat --ipam-driver hostnat -o name=shop shop")
	m.sh("docker run -d --name c1 --network shop -p 8080:80 -p 9000-9002:90-92/udp nginx")
	m.sh("docker run -d --name c2 --network shop nginx")
	if got := curl(t, top.Remote, publishedURL+"/"); got != "container\n" {
		t.Errorf("the published page is %q", got)
	}
	page := func(url string) string { return m.sh("docker exec c2 /bin/busybox wget -q -O - " + url) }
	if got := page("http://c1/"); got != "container" {
		t.Errorf("c1's page is %q in c2", got)
	}
	if got := page(outsideURL + "/page"); got != "outside" {
		t.Errorf("outside page is %q in c2", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")
	if got := m.names("external", "mapping list"); got != "0.0.0.0:8080 0.0.0.0:9000-9002" {
		t.Errorf("mappings %q", got)
	}
	waitFor(t, time.Minute, "the container's name", func() bool { return strings.Contains(m.sh("hostnat endpoint list -o wide"), "c1") })

	m.sh("docker restart -t 0 c1; systemctl restart docker; docker start c1 c2")
	waitFor(t, time.Minute, "the page after restarts", func() bool { return tryCurl(top.Remote, publishedURL+"/") == "container\n" })
	m.sh("kill -9 $(cat /tmp/hostnat.pid)")
	if got := curl(t, top.Remote, publishedURL+"/"); got != "container\n" {
		t.Errorf("without hostnat's daemon the page is %q", got)
	}
	m.startDaemon("--docker-driver")
	if got := m.sh("docker network ls --format '{{.Name}}'"); strings.Contains(got, "docker_gwbridge") {
		t.Errorf("Docker's networks: %s", got)
	}
	m.sh("docker rm -f c1 c2; docker network rm shop; kill $(cat /run/docker.pid)")
	if got := m.names("name", "endpoint list") + m.names("external", "mapping list") + m.names("name", "network list"); got != "" {
		t.Errorf("left: %q", got)
	}
	m.sh("hostnat down")
}
