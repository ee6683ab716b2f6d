//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// podman is Podman and hostnat's daemon, in the network namespace of a
// lab's host and with a root of their own.
type podman struct {
	machine
}

// podmanCommand leaves cgroups to Podman itself, since there is no systemd, and
// takes runc, since crun refuses machines that have cgroups of both versions.
const podmanCommand = "PODMAN_IGNORE_CGROUPSV1_WARNING=1 podman --runtime runc --cgroup-manager cgroupfs --events-backend file --log-level error "

// trixie is the folder with Debian 13.
func trixie(t *testing.T) string {
	t.Helper()
	debian, err := filepath.Abs("../.tools/trixie")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(debian, "unpacked")); err != nil {
		missing(t, "%v; scripts/e2e-install.sh makes it", err)
	}
	return debian
}

// startPodman starts it with a copy of the Debian in a folder.
func startPodman(t *testing.T, n *lab.Namespace, debian string) *podman {
	t.Helper()
	m := startRoot(t, n, debian)
	m.startDaemon()
	return m
}

// startRoot is startPodman without hostnat's daemon.
func startRoot(t *testing.T, n *lab.Namespace, debian string) *podman {
	t.Helper()
	script, err := filepath.Abs("../scripts/e2e-podman")
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, n, "podman", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", script, t.TempDir(), debian, hostnat)
	m := &podman{machine{t: t}}
	t.Cleanup(func() {
		if t.Failed() && m.init != "" {
			out, _ := m.command("sh", "-c", "cat /tmp/hostnat.log; ls -l /run/netns").CombinedOutput()
			t.Logf("hostnat's daemon:\n%s", out)
		}
		if pid, err := strconv.Atoi(m.init); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		} else {
			_ = p.cmd.Process.Kill()
		}
		<-p.ended
		removeGroupsOf("libpod_parent") // Podman leaves them behind
		removeGroupsOf("e2e-documents")
	})
	waitFor(t, 30*time.Second, "Podman's root", func() bool {
		if p.hasEnded() {
			t.Fatalf("it has ended: %s", p.printed(t))
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.cmd.Process.Pid))
		m.init = strings.TrimSpace(string(children))
		return err == nil && m.init != "" && strings.Contains(p.printed(t), "ready")
	})
	return m
}

// removeGroupsOf removes the cgroups of that name, wherever a hierarchy has them, and
// those below. One that is in use is another test's.
func removeGroupsOf(name string) {
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.Contains(path+"/", "/"+name+"/") {
			found = append(found, path)
		}
		return nil // a cgroup may go away while we walk
	})
	slices.Reverse(found)
	for _, path := range found {
		_ = syscall.Rmdir(path)
	}
}

func (p *podman) startDaemon(flags ...string) {
	p.t.Helper()
	p.sh("hostnat daemon " + strings.Join(flags, " ") + " >>/tmp/hostnat.log 2>&1 & echo $! >/tmp/hostnat.pid")
	waitFor(p.t, 20*time.Second, "the daemon to answer", func() bool { return p.command("hostnat", "status").Run() == nil })
}

// run is one command of Podman's.
func (p *podman) run(args string) string { p.t.Helper(); return p.sh(podmanCommand + args) }

// refused runs a command of Podman's that has to fail, and returns what it says.
func (p *podman) refused(args string) string {
	p.t.Helper()
	out, err := p.command("sh", "-c", podmanCommand+args).CombinedOutput()
	if err == nil {
		p.t.Errorf("podman %s works: %s", args, out)
	}
	return string(out)
}

// httpd is an image and a command, of a container with a page.
const httpd = " e2e /bin/busybox httpd -f -h /www -p 80"

// image makes the image of httpd.
func (p *podman) image() {
	p.t.Helper()
	p.sh("mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/; printf container >/tmp/image/www/page; tar -C /tmp/image -c . >/tmp/image.tar")
	p.run("import /tmp/image.tar e2e")
}

// page is what a container gets from an address.
func (p *podman) page(container, url string) string {
	p.t.Helper()
	return p.run("exec " + container + " /bin/busybox wget -q -O - " + url)
}

// names are the values of a key in a list of hostnat's, sorted.
func (p *podman) names(key, list string) string {
	p.t.Helper()
	var rows []map[string]any
	if err := json.Unmarshal([]byte(p.sh("hostnat "+list+" -o json")), &rows); err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, row := range rows {
		names = append(names, fmt.Sprint(row[key]))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestPodman: networks of Podman's with the driver hostnat, and all that a user types
// is Podman's.
func TestPodman(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	top := lab.StartTopology(t, 0)
	outside := startNginx(t, top.Remote, "outside")
	p := startPodman(t, top.Host, trixie(t))
	if !strings.Contains(p.run("info --format '{{.Plugins.Network}}'"), "hostnat") {
		t.Error("podman info does not know the plugin")
	}
	p.image()
	page := p.page

	p.run("network create --driver hostnat --subnet 172.20.0.0/24 web")
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
	if got := curl(t, top.Host, "http://127.0.0.1:8081/page"); got != "container" {
		t.Errorf("the page published on the loopback is %q", got)
	}
	if got := page("c1", outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q in the container", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")

	// An address, a MAC, aliases; names from one to the other.
	p.run("run -d --name c2 --network web:ip=172.20.0.77,mac=02:00:00:00:00:99,alias=db" + httpd)
	if got := p.names("mac", "endpoint list"); !strings.Contains(got, "02:00:00:00:00:99") {
		t.Errorf("endpoints have %q", got)
	}
	for _, url := range []string{"http://c1/page", "http://c1.web.internal/page"} {
		if got := page("c2", url); got != "container" {
			t.Errorf("%s is %q", url, got)
		}
	}
	if got := page("c1", "http://db/page"); got != "container" {
		t.Errorf("c2's page by its alias is %q", got)
	}

	// Another network while it runs, and an internal one, from which nothing gets out.
	p.run("network create --driver hostnat --internal -o mtu=1400 quiet")
	p.run("network connect quiet c2")
	p.run("run -d --name c3 --network quiet" + httpd)
	if got := page("c3", "http://c2/page"); got != "container" {
		t.Errorf("c2's page on the second network is %q", got)
	}
	if out := p.refused("exec c3 /bin/busybox wget -q -T 2 -O - " + outsideURL + "/page"); strings.Contains(out, "outside") {
		t.Errorf("from an internal network: %s", out)
	}
	p.run("network disconnect quiet c2")
	if got := p.names("name", "endpoint list"); got != "c1 c2 c3" {
		t.Errorf("endpoints %q", got)
	}

	// A port that is somebody's, and a container that is started again.
	if out := p.refused("run -d --name c4 --network web -p 8080:80" + httpd); !strings.Contains(out, "8080") {
		t.Errorf("a port twice: %s", out)
	}
	p.run("rm -f c4")
	p.run("restart -t 0 c1")
	waitFor(t, time.Minute, "the page after a restart", func() bool { return tryCurl(top.Remote, publishedURL+"/page") == "container" })

	// The daemon dies; what runs goes on, and what ends meanwhile is collected later.
	p.sh("kill -9 $(cat /tmp/hostnat.pid)")
	if got := curl(t, top.Remote, publishedURL+"/page"); got != "container" {
		t.Errorf("the published page is %q without the daemon", got)
	}
	if out := p.refused("run -d --name c5 --network web" + httpd); !strings.Contains(out, "hostnat daemon is not running") {
		t.Errorf("without the daemon: %s", out)
	}
	_, _ = p.command("sh", "-c", podmanCommand+"rm -f -t 0 c5 c3").CombinedOutput() // it says that the plugin failed
	p.startDaemon()
	p.run("run -d --name c6 --network web" + httpd)
	if got := p.names("name", "endpoint list"); got != "c1 c2 c6" {
		t.Errorf("endpoints %q after what ended without the daemon", got)
	}

	// Several at once.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if out, err := p.command("sh", "-c", fmt.Sprintf("%srun -d --name m%d --network web -p %d:80%s", podmanCommand, i, 8100+i, httpd)).CombinedOutput(); err != nil {
				t.Errorf("m%d: %v\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if got := curl(t, top.Remote, fmt.Sprintf("http://%s:%d/page", lab.HostAddress, 8100+i)); got != "container" {
			t.Errorf("page %d is %q", i, got)
		}
	}

	// Not by others than root.
	out, _ := p.command("setpriv", "--reuid", "65534", "--clear-groups", "/usr/libexec/netavark/hostnat", "create").CombinedOutput()
	if !strings.Contains(string(out), "rootless Podman cannot use the driver hostnat") {
		t.Errorf("as another user: %s", out)
	}

	// All of it goes.
	p.run("rm -f -t 0 --all")
	if got := p.names("name", "endpoint list") + p.names("external", "mapping list"); got != "" {
		t.Errorf("left: %q", got)
	}
	p.run("network rm web quiet")
	p.sh("hostnat podman prune")
	if got := p.names("name", "network list"); got != "" {
		t.Errorf("networks left: %q", got)
	}
	p.sh("hostnat down")
}
