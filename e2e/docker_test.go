//go:build e2e

package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// Debian's binaries: another client may come first in PATH.
const (
	dockerd      = "/usr/sbin/dockerd"
	dockerClient = "/usr/bin/docker"
)

// docker is a Docker daemon of the test's own: its files are below a temporary
// directory and its network is a namespace's.
type docker struct {
	t      *testing.T
	host   *lab.Namespace
	socket string
	config string   // file of settings
	cgroup string   // parent of its containers' cgroups
	argv   []string // of dockerd
	daemon *process
}

// startDocker starts a Docker daemon that leaves networks alone.
func startDocker(t *testing.T, n *lab.Namespace) *docker {
	t.Helper()
	d := newDocker(t, n)
	d.argv = append(d.argv, "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
	d.startFirst()
	return d
}

// newDocker prepares a Docker daemon that goes by its file of settings.
func newDocker(t *testing.T, n *lab.Namespace) *docker {
	t.Helper()
	need(t, dockerd)
	need(t, dockerClient)
	// Its path must be short: sockets below it have at most 107 bytes.
	dir, err := os.MkdirTemp("", "e2e-docker-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Unmount(filepath.Join(dir, "data"), syscall.MNT_DETACH) // what live-restore keeps mounted
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	config := filepath.Join(dir, "daemon.json") // instead of the machine's
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &docker{t: t, host: n, socket: "unix://" + filepath.Join(dir, "docker.sock"), config: config, cgroup: filepath.Base(dir)}
	t.Cleanup(d.removeCgroups)
	d.argv = []string{dockerd, "--config-file", config,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--host", d.socket, "--cgroup-parent", d.cgroup, "--storage-driver", "vfs"}
	return d
}

// startFirst starts it until the test ends. No container is left then.
func (d *docker) startFirst() {
	d.t.Helper()
	d.t.Cleanup(func() { d.daemon.end(d.t) })
	d.start()
	d.t.Cleanup(func() {
		if left := strings.Fields(d.docker("ps", "--all", "--quiet")); len(left) > 0 {
			d.docker(append([]string{"rm", "--force"}, left...)...)
		}
	})
}

// start starts it, for the first time or again.
func (d *docker) start() {
	d.t.Helper()
	d.daemon = launch(d.t, d.host, "dockerd", d.argv...)
	waitFor(d.t, 30*time.Second, "dockerd to answer", func() bool {
		if d.daemon.hasEnded() {
			d.t.Fatal("dockerd has ended")
		}
		return d.command("version").Run() == nil
	})
}

func (d *docker) command(args ...string) *exec.Cmd {
	cmd := exec.Command(dockerClient, append([]string{"--host", d.socket}, args...)...)
	cmd.Env = []string{"HOME=" + d.t.TempDir(), "PATH=/usr/bin:/bin"}
	return cmd
}

// docker calls the client and returns what it prints.
func (d *docker) docker(args ...string) string {
	d.t.Helper()
	return strings.TrimSpace(output(d.t, d.command(args...)))
}

// importBusybox makes an image of a static busybox and a page to serve.
func (d *docker) importBusybox(image, page string) {
	d.t.Helper()
	root := d.t.TempDir()
	program, err := os.ReadFile(need(d.t, "busybox"))
	if err != nil {
		d.t.Fatal(err)
	}
	write := func(path string, content []byte, mode fs.FileMode) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(path, content, mode); err != nil {
			d.t.Fatal(err)
		}
	}
	write("bin/busybox", program, 0o755)
	write("www/page", []byte(page), 0o644)
	tar := exec.Command("tar", "-C", root, "-c", ".")
	images, err := tar.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	load := d.command("import", "-", image)
	load.Stdin = images
	if err := tar.Start(); err != nil {
		d.t.Fatal(err)
	}
	output(d.t, load)
	if err := tar.Wait(); err != nil {
		d.t.Fatal(err)
	}
}

// run starts a container without network and returns its init's process id.
func (d *docker) run(name, image string, argv ...string) string {
	d.t.Helper()
	d.docker(append([]string{"run", "--detach", "--network", "none", "--name", name, image}, argv...)...)
	return d.docker("inspect", "--format", "{{.State.Pid}}", name)
}

// removeCgroups removes the parents, which runc leaves behind.
func (d *docker) removeCgroups() {
	d.t.Helper()
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == d.cgroup {
			found = append(found, path)
		}
		return nil // a cgroup may go away while we walk
	})
	slices.Reverse(found)
	for _, path := range found {
		if err := os.Remove(path); err != nil {
			d.t.Error(err)
		}
	}
}
