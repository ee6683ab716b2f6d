//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// withPlugins runs a program with a /run of its own, where Docker looks for plugins: other
// tests have daemons of theirs.
const withPlugins = `mount -t tmpfs none /run && mkdir -p /run/docker/plugins && mount --bind "$0" /run/docker/plugins && exec "$@"`

// driverDocker is a Docker daemon that leaves its own bridges alone and has hostnat's
// driver, and the image "e2e" in it.
func driverDocker(t *testing.T, h *host) *docker {
	t.Helper()
	d := newDocker(t, h.Host)
	plugins := filepath.Join(filepath.Dir(d.config), "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	d.argv = append(d.argv, "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
	d.argv = append([]string{"unshare", "--mount", "sh", "-c", withPlugins, plugins}, d.argv...)
	h.daemon.stop(t)
	h.flags = []string{"--docker-driver=" + filepath.Join(plugins, "hostnat.sock")}
	h.env = []string{"DOCKER_HOST=" + d.socket}
	h.startDaemon()
	d.startFirst()
	d.importBusybox("e2e", "container")
	return d
}

// wantDriven waits for the driver's endpoints, which are called as their containers, and mappings.
func (h *host) wantDriven(endpoints, external []string) {
	h.t.Helper()
	h.waitForNames("docker-driver", func(e api.Endpoint) string { return strings.Join(e.Aliases, ",") }, endpoints, external)
}

// create makes a network of the driver's with hostnat's own addresses.
func (d *docker) create(name string, args ...string) {
	d.t.Helper()
	argv := append([]string{"network", "create", "-d", "hostnat", "--ipam-driver", "hostnat", "-o", "name=" + name}, args...)
	d.docker(append(argv, name)...)
}

// refused calls the client, which has to fail, and returns what it says.
func (d *docker) refused(args ...string) string {
	d.t.Helper()
	out, err := d.command(args...).CombinedOutput()
	if err == nil {
		d.t.Errorf("docker %s works: %s", strings.Join(args, " "), out)
	}
	return string(out)
}

// fetch is what a container gets from an address; empty: nothing in 3 seconds.
func (d *docker) fetch(container, url string) string {
	out, _ := d.command("exec", container, "/bin/busybox", "timeout", "3", "/bin/busybox", "wget", "-q", "-O", "-", url).Output()
	return string(out)
}

// address is a container's on a network.
func (d *docker) address(container, network string) string {
	d.t.Helper()
	return d.docker("inspect", "-f", "{{.NetworkSettings.Networks."+network+".IPAddress}}", container)
}

// TestDockerDriver: a network of hostnat's driver, from its creation to its removal.
func TestDockerDriver(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	d := driverDocker(t, h)
	d.create("shop")
	var n api.Network
	h.read(&n, "network", "show", "shop")
	if got := d.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "shop"); len(n.Subnets) != 1 || got != n.Subnets[0].String() || n.Owner != "docker-driver" {
		t.Errorf("Docker says %s, hostnat %+v", got, n)
	}
	d.serve("c1", "--network", "shop", "--network-alias", "store", "--publish", "8080:80", "--publish", "9000-9002:90-92/udp")
	h.wantDriven([]string{"c1,store"}, []string{"tcp 0.0.0.0:8080", "udp 0.0.0.0:9000-9002"})
	h.wantContainersPage()
	if s := h.sessions("--remote", lab.RemoteAddress); len(s) == 0 || s[0].Remote.Addr().String() != lab.RemoteAddress {
		t.Errorf("sessions with the client's own address: %+v", s)
	}
	if got := d.fetch("c1", outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q in the container", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")

	// A second one, and names.
	d.serve("c2", "--network", "shop")
	if got := d.fetch("c2", "http://store/page"); got != "container" {
		t.Errorf("the other's page by its alias is %q", got)
	}
	if got := d.refused("run", "--rm", "--network", "shop", "--publish", "8080:80", "e2e", "/bin/busybox", "true"); !strings.Contains(got, "8080") {
		t.Errorf("a port that is taken: %s", got)
	}
	d.docker("restart", "--time", "0", "c1")
	h.wantDriven([]string{"c1,store", "c2"}, []string{"tcp 0.0.0.0:8080", "udp 0.0.0.0:9000-9002"})
	if got := curl(t, h.Remote, publishedURL+"/page"); got != "container" {
		t.Errorf("after a restart of the container the page is %q", got)
	}

	// Another network for a container that runs. Docker adds no way out of its own.
	d.create("second", "-o", "isolation=off")
	d.docker("network", "connect", "second", "c1")
	d.serve("c3", "--network", "second")
	if got := d.fetch("c3", "http://c1/page"); got != "container" {
		t.Errorf("c1's page is %q on the network that it was connected to", got)
	}
	if got := curl(t, h.Remote, publishedURL+"/page"); got != "container" {
		t.Errorf("with a second network the published page is %q", got)
	}
	if got := d.docker("exec", "c1", "/bin/busybox", "ip", "-o", "link"); strings.Count(got, "link/ether") != 2 {
		t.Errorf("the container has other links than two:\n%s", got)
	}
	d.docker("network", "disconnect", "second", "c1")
	if got := d.docker("network", "ls", "--format", "{{.Name}}"); strings.Contains(got, "docker_gwbridge") {
		t.Errorf("Docker's networks: %s", got)
	}
	d.docker("rm", "--force", "c1", "c2", "c3")
	h.wantDriven(nil, nil)
	d.docker("network", "rm", "shop", "second")
	if list := h.hostnat("network", "list"); strings.Contains(list, "docker") || strings.Contains(list, "shop") {
		t.Errorf("networks are left:\n%s", list)
	}
}

// TestDockerDriverNetworks: what Docker's bridges cannot do.
func TestDockerDriverNetworks(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	d := driverDocker(t, h)

	// Every container by itself: both are reached and get out, neither sees the other.
	d.create("alone", "-o", "compartment=each")
	d.serve("a1", "--network", "alone", "--publish", "8001:80")
	d.serve("a2", "--network", "alone", "--publish", "8002:80")
	for _, port := range []string{"8001", "8002"} {
		if got := curl(t, h.Remote, "http://"+lab.HostAddress+":"+port+"/page"); got != "container" {
			t.Errorf("port %s serves %q", port, got)
		}
	}
	if got := d.fetch("a1", outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q in a compartment", got)
	}
	if got := d.fetch("a1", "http://"+d.address("a2", "alone")+"/page"); got != "" {
		t.Errorf("in compartments of their own one gets the other's page: %q", got)
	}

	// Two NATs, each with its own address.
	h.hostnat("nat", "create", "lab")
	const second = "203.0.113.77"
	h.hostnat("address", "add", "lab", second)
	d.create("site")
	d.create("lab", "-o", "nat=lab")
	d.serve("w1", "--network", "site")
	d.serve("l1", "--network", "lab")
	for container, address := range map[string]string{"w1": lab.HostAddress, "l1": second} {
		if got := d.fetch(container, outsideURL+"/"+container); got != "" { // there is no such page: it is about the log
			t.Errorf("outside page is %q in %s", got, container)
		}
		outside.expectRequest(address + " GET /" + container + " 404")
	}
	if got := d.fetch("w1", "http://"+d.address("l1", "lab")+"/page"); got != "" {
		t.Errorf("isolated networks reach each other: %q", got)
	}

	// The same subnet twice, in compartments.
	same := []string{"--subnet", "10.77.0.0/24", "--gateway", "10.77.0.1"}
	d.create("blue", append(same, "-o", "compartment=blue", "--ipam-opt", "compartment=blue")...)
	d.create("red", append(same, "-o", "compartment=red", "--ipam-opt", "compartment=red")...)
	for _, color := range []string{"blue", "red"} {
		d.serve(color, "--network", color, "--ip", "10.77.0.5")
		if got := d.fetch(color, outsideURL+"/page"); got != "outside" {
			t.Errorf("outside page is %q in compartment %s", got, color)
		}
	}
	if got := d.refused("run", "--rm", "--network", "red", "--ip", "10.77.0.5", "e2e", "/bin/busybox", "true"); !strings.Contains(got, "belongs to endpoint") {
		t.Errorf("an address that is taken: %s", got)
	}

	// What is refused, and leaves nothing.
	before := h.hostnat("network", "list")
	var site api.Network
	h.read(&site, "network", "show", "site")
	for _, refusal := range [][]string{
		{"overlaps", "--subnet", site.Subnets[0].String(), "--ipam-driver", "default"},
		{"is that of network", "--subnet", "10.77.0.0/24", "--ipam-driver", "hostnat", "--ipam-opt", "compartment=red"},
		{"is not known", "--ipam-driver", "hostnat", "-o", "nta=lab"},
		{"no IPv6", "--ipam-driver", "hostnat", "--ipv6", "--subnet", "fd00::/64"},
	} {
		argv := append([]string{"network", "create", "-d", "hostnat"}, refusal[1:]...)
		if got := d.refused(append(argv, "refused")...); !strings.Contains(got, refusal[0]) {
			t.Errorf("docker %v says %s, not %q", argv, got, refusal[0])
		}
	}
	if after := h.hostnat("network", "list"); after != before {
		t.Errorf("networks that were refused are left:\n%s", after)
	}

	// A network without a way out, with addresses from Docker.
	d.docker("network", "create", "-d", "hostnat", "--internal", "--subnet", "10.78.0.0/24", "-o", "name=closed", "closed")
	d.serve("k1", "--network", "closed")
	d.serve("k2", "--network", "closed")
	if got := d.fetch("k1", "http://k2/page"); got != "container" {
		t.Errorf("in a closed network the neighbour's page is %q", got)
	}
	if got := d.fetch("k1", outsideURL+"/page"); got != "" {
		t.Errorf("in a closed network the page outside is %q", got)
	}
	if got := d.docker("network", "ls", "--format", "{{.Name}}"); strings.Contains(got, "docker_gwbridge") {
		t.Errorf("Docker's networks: %s", got)
	}
}

// TestDockerStartsBeforeHostnat: with systemd's socket, dockerd need not wait for a driver
// that does not run, though a container of its network is to be started.
func TestDockerStartsBeforeHostnat(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	activate := need(t, "systemd-socket-activate")
	h := startHost(t, 0)
	d := driverDocker(t, h)
	d.create("shop")
	d.docker("run", "--detach", "--restart", "always", "--stop-timeout", "0", "--network", "shop", "--name", "c1", "--publish", "8080:80",
		"e2e", "/bin/busybox", "httpd", "-f", "-h", "/www")
	start := func() time.Duration {
		t.Helper()
		begin := time.Now()
		d.start()
		took := time.Since(begin)
		waitFor(t, 30*time.Second, "the container to answer", func() bool { return tryCurl(h.Remote, publishedURL+"/page") == "container" })
		return took
	}
	d.daemon.stop(t)
	normal := start()

	d.daemon.stop(t)
	h.daemon.stop(t)
	socket := strings.TrimPrefix(h.flags[0], "--docker-driver=")
	h.flags = nil
	argv := []string{activate, "--listen=" + socket, "--fdname=docker", "--setenv=" + h.busVariable(), "--setenv=" + h.env[0]}
	h.daemon = launch(t, h.Host, "hostnat-daemon", append(argv, h.daemonCommand()...)...)
	waitFor(t, time.Minute, "the socket", func() bool { _, err := os.Stat(socket); return err == nil })
	if err := h.command("status").Run(); err == nil {
		t.Error("hostnat's daemon runs before anybody has called it")
	}
	waited := start()
	t.Logf("dockerd answers after %v, beside hostnat that has ended after %v", normal, waited)
	if waited > normal+25*time.Second { // hostnat itself starts meanwhile, in 7 s on a busy machine; without the socket it is 30 and more
		t.Errorf("dockerd takes %v while hostnat does not run, else %v", waited, normal)
	}
	h.wantDriven([]string{"c1"}, []string{"tcp 0.0.0.0:8080"})
	d.docker("rm", "--force", "c1")
	d.docker("network", "rm", "shop")
}

// TestDockerDriverRestarts: neither side's end loses anything, or leaves it behind.
func TestDockerDriverRestarts(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	d := driverDocker(t, h)
	d.create("shop")
	const count = 20
	name := func(i int) string { return fmt.Sprintf("c%02d", i) }
	port := func(i int) string { return fmt.Sprint(8100 + i) }
	each := func(f func(i int)) { atOnce(count, f) }
	each(func(i int) {
		argv := []string{"run", "--detach", "--restart", "always", "--stop-timeout", "0", "--network", "shop", "--name", name(i), "--publish", port(i) + ":80", "e2e", "/bin/busybox", "httpd", "-f", "-h", "/www"}
		if out, err := d.command(argv...).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	var names, external []string
	for i := range count {
		names, external = append(names, name(i)), append(external, "tcp 0.0.0.0:"+port(i))
	}
	h.wantDriven(names, external)
	works := func(when string) {
		t.Helper()
		each(func(i int) {
			if got := tryCurl(h.Remote, "http://"+lab.HostAddress+":"+port(i)+"/page"); got != "container" {
				t.Errorf("%s port %s serves %q", when, port(i), got)
			}
		})
	}
	works("at first")

	h.daemon.stop(t)
	works("without hostnat's daemon")
	h.startDaemon()
	h.wantDriven(names, external)
	works("with another daemon")
	_ = h.daemon.cmd.Process.Kill()
	<-h.daemon.ended
	works("after hostnat was killed")
	h.startDaemon()
	h.wantDriven(names, external)
	d.docker("restart", "--time", "0", name(0))
	h.wantDriven(names, external)
	works("with the daemon after the kill")

	// dockerd ends with its containers, and comes again with them: it starts them anew.
	d.daemon.stop(t)
	d.start()
	waitFor(t, 60*time.Second, "Docker to have its containers again", func() bool {
		return len(strings.Fields(d.docker("ps", "--quiet"))) == count
	})
	h.wantDriven(names, external)
	works("after a restart of dockerd")

	each(func(i int) { _ = d.command("rm", "--force", name(i)).Run() })
	h.wantDriven(nil, nil)
	d.docker("network", "rm", "shop")
}
