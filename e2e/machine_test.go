//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/dev/lab"
)

// machine is systemd at work on a copy of a Debian's files, in the network namespace
// of a lab's host.
type machine struct {
	t    *testing.T
	init string // process id, as seen from here
}

// startMachine boots the Debian in a folder: "/" is this machine's.
func startMachine(t *testing.T, n *lab.Namespace, debian string) *machine {
	t.Helper()
	need(t, filepath.Join(debian, "lib/systemd/systemd"))
	groups := "/sys/fs/cgroup"
	if _, err := os.Stat(groups + "/unified"); err == nil {
		groups += "/unified"
	}
	cgroup, err := os.MkdirTemp(groups, "e2e-machine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeGroup(t, cgroup) })
	script, err := filepath.Abs("../scripts/e2e-machine")
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, n, "machine", "sh", "-c", `echo $$ >"$0/cgroup.procs"; exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc "$@"`,
		cgroup, script, t.TempDir(), debian)
	m := &machine{t: t}
	t.Cleanup(func() {
		if t.Failed() && m.init != "" {
			out, _ := m.command("sh", "-c", "journalctl --no-pager --unit hostnat | grep -v 'hostnat.[0-9]*.: '  | tail -60").CombinedOutput()
			t.Logf("journal:\n%s", out)
		}
		// With its init the machine ends, and unshare, which waits for it. systemd
		// takes SIGTERM for another wish.
		if pid, err := strconv.Atoi(m.init); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		} else {
			_ = p.cmd.Process.Kill()
		}
		<-p.ended
	})
	waitFor(t, 30*time.Second, "systemd to be up", func() bool {
		if p.hasEnded() {
			t.Fatalf("the machine has ended: %s", p.printed(t))
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.cmd.Process.Pid))
		if m.init = strings.TrimSpace(string(children)); err != nil || m.init == "" {
			return false
		}
		state, _ := m.command("systemctl", "is-system-running").Output()
		return strings.TrimSpace(string(state)) == "running"
	})
	return m
}

// removeGroup removes a cgroup and those below once the processes in them are gone.
func removeGroup(t *testing.T, cgroup string) {
	t.Helper()
	waitFor(t, time.Minute, "the machine's cgroups to be empty", func() bool {
		// Exit code 1: another one is still in use.
		_ = exec.Command("find", cgroup, "-depth", "-type", "d", "-delete").Run()
		_, err := os.Stat(cgroup)
		return os.IsNotExist(err)
	})
}

func (m *machine) command(argv ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", m.init, "--all", "--root", "--wd"}, argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// sh runs a line of shell on the machine and returns what it prints.
func (m *machine) sh(line string) string {
	m.t.Helper()
	out, err := m.command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

// upload copies a file onto the machine.
func (m *machine) upload(from, to string) {
	m.t.Helper()
	content, err := os.Open(from)
	if err != nil {
		m.t.Fatal(err)
	}
	defer content.Close()
	cat := m.command("sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0"`, to)
	cat.Stdin = content
	output(m.t, cat)
}

// buildPackage builds the Debian package with the program under test.
func buildPackage(t *testing.T) string { t.Helper(); return buildPackageFor(t, runtime.GOARCH) }

// buildPackageFor says that the program is for an architecture, whether it is or not.
func buildPackageFor(t *testing.T, arch string) string {
	t.Helper()
	need(t, "dpkg-deb")
	dir := t.TempDir()
	manual := filepath.Join(dir, "manual")
	if err := os.Mkdir(manual, 0o755); err != nil {
		t.Fatal(err)
	}
	output(t, exec.Command("go", "run", "-tags", "man", "../cmd/hostnat", manual))
	for _, shell := range []string{"bash", "zsh", "fish"} {
		text := output(t, exec.Command(hostnat, "completion", shell))
		if err := os.WriteFile(filepath.Join(manual, "hostnat."+shell), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("scripts/deb.sh", arch, hostnat, manual, "v1.0-test", dir)
	build.Dir = ".."
	output(t, build)
	return filepath.Join(dir, "hostnat_1.0+test_"+arch+".deb")
}

// TestPackageIsClean: Debian's own checker has nothing against the package.
func TestPackageIsClean(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	lintian := need(t, "lintian")
	out, err := exec.Command(lintian, "--allow-root", "--fail-on", "error,warning", buildPackage(t)).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPackage installs the Debian package on a machine with systemd: the daemon runs
// in the sandbox of its unit, flows survive its death and an upgrade, and a purge
// leaves nothing.
func TestPackage(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	topology := lab.StartTopology(t, 0)
	m := startMachine(t, topology.Host, "/")
	before := m.traces()
	m.upload(buildPackage(t), "/tmp/hostnat.deb")

	m.sh("dpkg -i /tmp/hostnat.deb")
	if got := m.sh("systemctl is-active hostnat; systemctl is-enabled hostnat; getent group hostnat | cut -d: -f1"); got != "active\nenabled\nhostnat" {
		t.Errorf("after the installation: %q", got)
	}
	m.sh("test -x /usr/lib/hostnat/hostnat-bridge-helper")
	m.wantDriver()
	m.wantPage()
	m.sh("ip netns add c1; ip netns add c2")
	m.sh("hostnat network create web; hostnat endpoint attach web c1 --netns c1")
	// The namespace of another user's process.
	m.sh("ip netns exec c2 setpriv --reuid 65534 --clear-groups sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid")
	m.sh("hostnat endpoint attach web c2 --pid $(cat /tmp/pid)")
	m.sh("hostnat endpoint attach web vm --tap vm0 --create --user nobody; ip -d link show vm0 | grep 'user nobody'")
	m.sh("hostnat mapping add --protocol tcp --external 80 --internal c1:80")
	m.sh("hostnat proxy add v4tov4 81 " + lab.RemoteAddress + ":80")
	ping := "ip netns exec c1 ping -q -i 0.1 -W 1 " + lab.RemoteAddress
	m.sh(ping + " -c 2")
	m.sh("ip netns exec c2 ping -q -c 2 -i 0.1 -W 1 " + lab.RemoteAddress)

	daemon := func() string { return m.sh("systemctl show --property MainPID --value hostnat") }
	through := func(what, line string) {
		t.Helper()
		old := daemon()
		flow := m.command("sh", "-ec", ping+" -c 40")
		var printed strings.Builder
		flow.Stdout = &printed
		if err := flow.Start(); err != nil {
			t.Fatal(err)
		}
		m.sh(line)
		waitFor(t, time.Minute, "a new daemon after "+what, func() bool {
			now := daemon()
			return now != old && now != "0" && m.command("hostnat", "status").Run() == nil
		})
		if err := flow.Wait(); err != nil || !strings.Contains(printed.String(), " 0% packet loss") {
			t.Errorf("the flow through %s: %v, %s", what, err, printed.String())
		}
	}
	through("kill -9", "systemctl kill --signal KILL hostnat")
	through("an upgrade", "dpkg -i /tmp/hostnat.deb")
	// It gets no CPU any more: the watchdog ends it. A shorter one, for the test.
	m.sh("mkdir /run/systemd/system/hostnat.service.d; printf '[Service]\\nWatchdogSec=2\\n' >/run/systemd/system/hostnat.service.d/e2e.conf; systemctl daemon-reload; systemctl restart hostnat")
	through("a daemon that hangs", "systemctl kill --signal STOP hostnat")
	m.sh("rm -r /run/systemd/system/hostnat.service.d")

	if got := m.sh("journalctl --no-pager --unit hostnat | grep -c 'level=ERROR' || true"); got != "0" {
		t.Errorf("the daemon's errors: %s", m.sh("journalctl --no-pager --unit hostnat | grep level=ERROR"))
	}
	if got := m.sh("man --path >/dev/null 2>&1; ls /usr/share/man/man1/hostnat-network-create.1.gz"); got == "" {
		t.Error("there is no manual")
	}
	m.sh("kill $(cat /tmp/pid); dpkg --purge hostnat; ip netns delete c1; ip netns delete c2")
	if diff := cmp.Diff(before, m.traces()); diff != "" {
		t.Errorf("what a purge leaves (-before +after):\n%s", diff)
	}
}

// wantDriver enables Docker's driver as docs/docker.md has it.
func (m *machine) wantDriver() {
	m.t.Helper()
	if got := m.sh("systemctl is-enabled hostnat-docker.socket || true; systemctl is-active hostnat-docker.socket || true"); got != "disabled\ninactive" {
		m.t.Errorf("the driver's socket after the installation: %q", got)
	}
	m.sh("systemctl enable hostnat-docker.socket; systemctl stop hostnat; systemctl start hostnat-docker.socket hostnat")
	const call = "curl -sS --max-time 20 --unix-socket /run/docker/plugins/hostnat.sock -X POST http://plugin/Plugin.Activate"
	if got := m.sh(call); got != `{"Implements":["NetworkDriver","IpamDriver"]}` {
		m.t.Errorf("the driver answers %q", got)
	}
	m.sh("systemctl stop hostnat") // the next call starts it
	if got := m.sh(call + " && systemctl is-active hostnat"); !strings.HasSuffix(got, "\nactive") {
		m.t.Errorf("a call to a daemon that does not run: %q", got)
	}
}

// wantPage has the web page served as docs/systemd.md has it.
func (m *machine) wantPage() {
	m.t.Helper()
	m.sh(`mkdir -p /etc/systemd/system/hostnat.service.d
printf '[Service]\nExecStart=\nExecStart=/usr/bin/hostnat daemon --web 127.0.0.1:8642\n' >/etc/systemd/system/hostnat.service.d/override.conf
systemctl daemon-reload; systemctl restart hostnat`)
	if got := m.sh("hostnat web"); !strings.HasPrefix(got, "http://127.0.0.1:8642/#token=") {
		m.t.Errorf("the page's URL is %q", got)
	}
	if got := m.sh("curl -sS --noproxy '*' --max-time 10 http://127.0.0.1:8642/"); !strings.Contains(got, "<title>") {
		m.t.Errorf("the page is %q", got)
	}
	m.sh("rm -r /etc/systemd/system/hostnat.service.d; systemctl daemon-reload; systemctl restart hostnat")
}

// traces is everything on the machine that may be hostnat's, but for this checkout.
func (m *machine) traces() string {
	m.t.Helper()
	checkout, err := filepath.Abs("..")
	if err != nil {
		m.t.Fatal(err)
	}
	return m.sh("find / -xdev -name '*hostnat*' -not -path '/proc/*' -not -path '/tmp/*' -not -path '" + checkout + "/*' -not -path '/root/*' | sort; find /run -name '*hostnat*' -not -path '/run/systemd/*'; getent group hostnat || true; ip -o link | cut -d: -f2; mount | grep hostnat || true")
}
