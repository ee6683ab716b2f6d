//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// followedDocker is a Docker daemon that hostnat follows, with live-restore, and
// the image "e2e" in it.
func followedDocker(t *testing.T, h *host) *docker {
	t.Helper()
	d := newDocker(t, h.Host)
	const own = `{"live-restore": true, "bip": "10.99.0.1/24"}`
	if err := os.WriteFile(d.config, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	planned := h.hostnat("docker", "enable", "--settings", d.config, "--docker-host", d.socket, "--dry-run")
	if !strings.Contains(planned, `+ "bridge": "hn-docker"`) || !strings.Contains(planned, `- "bip": "10.99.0.1/24"`) {
		t.Errorf("a dry run says:\n%s", planned)
	}
	if now, err := os.ReadFile(d.config); err != nil || string(now) != own {
		t.Errorf("after a dry run Docker's settings are %s, %v", now, err)
	}
	h.hostnat("docker", "enable", "--settings", d.config, "--docker-host", d.socket, "--subnet", "172.20.0.0/24")
	t.Cleanup(func() { // before Docker ends and its folder goes
		h.hostnat("docker", "disable", "--settings", d.config, "--docker-host", d.socket)
		if now, err := os.ReadFile(d.config); err != nil || string(now) != own {
			t.Errorf("after 'docker disable' the settings are %s, %v", now, err)
		}
	})
	t.Cleanup(func() {
		for line := range strings.Lines(h.daemon.printed(t)) {
			if strings.Contains(line, "level=ERROR") { // links of containers come and go at any moment
				t.Errorf("hostnat's daemon says %s", line)
			}
		}
	})
	d.startFirst()
	d.importBusybox("e2e", "container")
	return d
}

// serve runs a container with a web server.
func (d *docker) serve(name string, args ...string) {
	d.t.Helper()
	argv := append([]string{"run", "--detach", "--name", name}, args...)
	d.docker(append(argv, "e2e", "/bin/busybox", "httpd", "-f", "-h", "/www", "-p", "80")...)
}

// namesOf returns the sorted names, as called says them, of an owner's endpoints that are
// up, and the external ends of its mappings.
func (h *host) namesOf(owner string, called func(api.Endpoint) string) (endpoints, external []string) {
	h.t.Helper()
	var e []api.Endpoint
	h.read(&e, "endpoint", "list")
	for _, e := range e {
		if e.Owner == owner && e.State == api.EndpointUp {
			endpoints = append(endpoints, called(e))
		}
	}
	var m []api.Mapping
	h.read(&m, "mapping", "list")
	for _, m := range m {
		if m.Owner == owner {
			external = append(external, string(m.Protocol)+" "+m.External)
		}
	}
	slices.Sort(endpoints)
	slices.Sort(external)
	return endpoints, external
}

func (h *host) waitForNames(owner string, called func(api.Endpoint) string, endpoints, external []string) {
	h.t.Helper()
	var e, x []string
	ok := false
	defer func() {
		if !ok {
			h.t.Logf("endpoints %v, mappings %v; want %v, %v\n%s", e, x, endpoints, external, h.hostnat("status"))
		}
	}()
	waitFor(h.t, time.Minute, "hostnat to have what Docker has", func() bool {
		e, x = h.namesOf(owner, called)
		ok = slices.Equal(e, endpoints) && slices.Equal(x, external)
		return ok
	})
}

// atOnce calls f with 0 to count-1, all at once, and waits.
func atOnce(count int, f func(i int)) {
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func nameOf(e api.Endpoint) string { return e.Name }

func (h *host) waitForDocker(endpoints, external []string) {
	h.t.Helper()
	h.waitForNames("docker", nameOf, endpoints, external)
}

// waitForNetworks waits until these are all there are.
func (h *host) waitForNetworks(names ...string) {
	h.t.Helper()
	waitFor(h.t, time.Minute, "other networks to be gone", func() bool {
		return slices.Equal(strings.Fields(h.hostnat("network", "list", "-q", "--sort", "name")), names)
	})
}

// wantContainersPage checks that a container's page is published, for another machine and the host.
func (h *host) wantContainersPage() {
	h.t.Helper()
	if got := curl(h.t, h.Remote, publishedURL+"/page"); got != "container" {
		h.t.Errorf("the published page is %q from another machine", got)
	}
	if got := curl(h.t, h.Host, "http://127.0.0.1:8080/page"); got != "container" {
		h.t.Errorf("the published page is %q on the host", got)
	}
}

// TestDockerIsFollowed: `docker run -p` is all that a user types.
func TestDockerIsFollowed(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	d := followedDocker(t, h)

	d.serve("c1", "--publish", "8080:80")
	h.waitForDocker([]string{"c1"}, []string{"tcp 0.0.0.0:8080"})
	if got := d.docker("ps", "--format", "{{.Names}} {{.Ports}}"); !strings.Contains(got, "c1 0.0.0.0:8080->80/tcp") {
		t.Errorf("docker ps says %q", got)
	}
	h.wantContainersPage()
	if got := d.docker("exec", "c1", "/bin/busybox", "wget", "-q", "-O", "-", outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q in the container", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")

	// Ranges, UDP, an address, the host alone, a port of Docker's choice.
	d.serve("c2", "--publish", "9000-9009:90-99/udp", "--publish", lab.HostAddress+":9100:80", "--publish", "127.0.0.1:9200:80", "--publish", "80")
	var external []string
	waitFor(t, time.Minute, "all mappings of c2", func() bool {
		_, external = h.namesOf("docker", nameOf)
		return len(external) == 5
	})
	for _, want := range []string{"udp 0.0.0.0:9000-9009", "tcp " + lab.HostAddress + ":9100", "tcp 127.0.0.1:9200"} {
		if !slices.Contains(external, want) {
			t.Errorf("mappings %v, want %s", external, want)
		}
	}
	if got := curl(t, h.Host, "http://127.0.0.1:9200/page"); got != "container" {
		t.Errorf("the page published on the loopback is %q", got)
	}

	// Names.
	if got := d.docker("exec", "c1", "/bin/busybox", "wget", "-q", "-O", "-", "http://c2/page"); got != "container" {
		t.Errorf("c2's page is %q in c1", got)
	}

	// One that does not start leaves nothing, though its port was published before.
	if got := d.refused("run", "--detach", "--name", "broken", "--publish", "9300:80", "e2e", "/nothing"); !strings.Contains(got, "/nothing") {
		t.Errorf("a container without its program: %s", got)
	}
	h.waitForDocker([]string{"c1", "c2"}, external)

	// Another name, and gone.
	d.docker("rename", "c2", "c3")
	h.waitForDocker([]string{"c1", "c3"}, external)
	d.docker("rename", "c3", "c2")
	d.docker("stop", "--time", "0", "c2")
	h.waitForDocker([]string{"c1"}, []string{"tcp 0.0.0.0:8080"})
	d.docker("restart", "--time", "0", "c1")
	waitFor(t, time.Minute, "c1 to answer after its restart", func() bool { return tryCurl(h.Remote, publishedURL+"/page") == "container" })

	// A network of the user's.
	h.hostnat("docker", "network", "create", "shop", "--docker-host", d.socket, "--settings", d.config)
	d.serve("c4", "--network", "shop", "--publish", "8181:80", "--network-alias", "store")
	h.waitForDocker([]string{"c1", "c4"}, []string{"tcp 0.0.0.0:8080", "tcp 0.0.0.0:8181"})
	if got := curl(t, h.Remote, "http://"+lab.HostAddress+":8181/page"); got != "container" {
		t.Errorf("c4's page is %q", got)
	}
	if got := d.docker("exec", "c4", "/bin/busybox", "wget", "-q", "-O", "-", "http://store/page"); got != "container" {
		t.Errorf("by its alias c4's page is %q", got)
	}
	d.docker("network", "connect", "shop", "c1")
	h.waitForDocker([]string{"c1", "c1.shop", "c4"}, []string{"tcp 0.0.0.0:8080", "tcp 0.0.0.0:8181"})
	d.docker("network", "disconnect", "shop", "c1")
	d.docker("rm", "--force", "c4")
	h.waitForDocker([]string{"c1"}, []string{"tcp 0.0.0.0:8080"})
	h.hostnat("docker", "network", "delete", "shop")

	// One that Docker has made by itself, as Compose does; and one that is closed.
	d.docker("network", "create", "project_default")
	d.docker("network", "create", "--internal", "closed")
	d.serve("c5", "--network", "project_default", "--publish", "8282:80")
	d.serve("c6", "--network", "closed")
	h.waitForDocker([]string{"c1", "c5", "c6"}, []string{"tcp 0.0.0.0:8080", "tcp 0.0.0.0:8282"})
	if got := curl(t, h.Remote, "http://"+lab.HostAddress+":8282/page"); got != "container" {
		t.Errorf("c5's page is %q", got)
	}
	fetch := func(from string) string {
		out, _ := d.command("exec", from, "/bin/busybox", "timeout", "5", "/bin/busybox", "wget", "-q", "-O", "-", outsideURL+"/page").Output()
		return string(out)
	}
	if got := fetch("c5"); got != "outside" {
		t.Errorf("outside page is %q in a network of Docker's making", got)
	}
	if got := fetch("c6"); got != "" {
		t.Errorf("outside page is %q in a closed network", got)
	}
	d.docker("rm", "--force", "c5", "c6")
	d.docker("network", "rm", "project_default", "closed")
	waitFor(t, time.Minute, "the networks to be gone", func() bool {
		return !strings.Contains(h.hostnat("network", "list"), "project_default") && !strings.Contains(h.hostnat("network", "list"), "closed")
	})
	h.waitForDocker([]string{"c1"}, []string{"tcp 0.0.0.0:8080"})
	status := h.hostnat("docker", "status", "--settings", d.config, "-o", "json")
	var s struct {
		Enabled, InForce bool
		Containers       []string
		Problems         []string
	}
	if err := json.Unmarshal([]byte(status), &s); err != nil || !s.Enabled || !s.InForce || len(s.Containers) != 1 || len(s.Problems) > 0 {
		t.Errorf("docker status: %s, %v", status, err)
	}
}

// TestManyDockerContainers starts and ends fifty containers at once.
func TestManyDockerContainers(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	d := followedDocker(t, h)
	const count = 50
	each := func(f func(i int)) { atOnce(count, f) }
	name := func(i int) string { return fmt.Sprintf("c%02d", i) }
	port := func(i int) string { return fmt.Sprint(8100 + i) }
	each(func(i int) {
		out, err := d.command("run", "--detach", "--name", name(i), "--publish", port(i)+":80", "e2e", "/bin/busybox", "httpd", "-f", "-h", "/www").CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	var names, external []string
	for i := range count {
		names, external = append(names, name(i)), append(external, "tcp 0.0.0.0:"+port(i))
	}
	h.waitForDocker(names, external)
	each(func(i int) {
		if got := tryCurl(h.Remote, "http://"+lab.HostAddress+":"+port(i)+"/page"); got != "container" {
			t.Errorf("port %s serves %q", port(i), got)
		}
	})
	each(func(i int) { _ = d.command("rm", "--force", name(i)).Run() })
	h.waitForDocker(nil, nil)
	if got := d.docker("ps", "--all", "--quiet"); got != "" {
		t.Errorf("containers are left: %s", got)
	}
}

// TestDockerContainerByName attaches a container without network by its name; its
// restarts, and another container of that name, are followed.
func TestDockerContainerByName(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	d := startDocker(t, h.Host)
	d.importBusybox("e2e", "container")
	d.serve("c1", "--network", "none")
	attach := h.command("endpoint", "attach", "web", "web1", "--docker", "c1", "-o", "json")
	attach.Env = append(os.Environ(), "DOCKER_HOST="+d.socket)
	var e api.Endpoint
	if out := output(t, attach); json.Unmarshal([]byte(out), &e) != nil || len(e.Addresses) != 1 {
		t.Fatalf("attached: %s", out)
	}
	h.publish("8080", "web1:80")
	works := func(when string) {
		t.Helper()
		waitFor(t, time.Minute, "the container to answer "+when, func() bool { return tryCurl(h.Remote, publishedURL+"/page") == "container" })
		var now api.Endpoint
		h.read(&now, "endpoint", "show", "web1")
		if !slices.Equal(now.Addresses, e.Addresses) || now.MAC != e.MAC || now.State != api.EndpointUp {
			t.Errorf("%s the endpoint is %+v, was %+v", when, now, e)
		}
		name, err := d.command("exec", "c1", "/bin/busybox", "wget", "-q", "-O", "-", "http://web1.web.internal/page").CombinedOutput()
		if err != nil || string(name) != "container" {
			t.Errorf("%s its own page by name is %q, %v", when, name, err)
		}
	}
	works("at first")
	d.docker("restart", "--time", "0", "c1")
	works("after a restart")
	d.docker("rm", "--force", "c1")
	waitFor(t, time.Minute, "the endpoint to be absent", func() bool {
		var now api.Endpoint
		h.read(&now, "endpoint", "show", "web1")
		return now.State == api.EndpointAbsent
	})
	d.serve("c1", "--network", "none")
	works("as another container of that name")
	h.daemon.stop(t)
	d.docker("restart", "--time", "0", "c1")
	h.startDaemon()
	works("after a restart without hostnat")
}
