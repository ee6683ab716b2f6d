//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// host is a machine with hostnat's daemon running on it, between a remote and
// endpoints: all namespaces.
type host struct {
	*lab.Topology
	t      *testing.T
	run    string // the daemon's run directory
	state  string // its state directory
	daemon *process
	flags  []string // more of the daemon's
	env    []string // likewise, of its environment

	group      string // number of the group hostnat; empty: there is none
	resolvConf string // names the host's resolver: the remote
	bus        string // where the daemon looks for the system's D-Bus: nothing is there, see startResolved
}

// startHost builds a host with the network "web", 172.16.1.0/24. At the end of
// the test it also checks that `hostnat down` leaves nothing behind. The daemon gets the flags.
func startHost(t *testing.T, endpoints int, flags ...string) *host {
	t.Helper()
	return startHostOfGroup(t, endpoints, "", flags...)
}

// startHostOfGroup is startHost where there is a group hostnat with that number.
func startHostOfGroup(t *testing.T, endpoints int, group string, flags ...string) *host {
	t.Helper()
	h := &host{Topology: lab.StartTopology(t, endpoints), t: t, group: group, flags: flags}
	before := h.links()
	dir := t.TempDir()
	h.run, h.resolvConf, h.bus = filepath.Join(dir, "run"), filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "bus")
	if err := os.WriteFile(h.resolvConf, []byte("nameserver "+lab.RemoteAddress+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.state = filepath.Join(dir, "state")
	t.Cleanup(func() { h.daemon.end(t) })
	h.startDaemon()
	t.Cleanup(func() { h.checkDown(before) })
	h.hostnat("network", "create", "web", "--subnet", "172.16.1.0/24")
	return h
}

// groupMount has a program see a group hostnat.
const groupMount = `(cat /etc/group; echo "hostnat:x:$0:") >"$1/group" && mount --bind "$1/group" /etc/group && shift && exec "$@"`

// startDaemon starts the daemon, for the first time or again.
func (h *host) startDaemon() {
	h.t.Helper()
	argv := append([]string{"env", h.busVariable()}, h.env...)
	argv = append(argv, h.daemonCommand()...)
	if h.group != "" {
		argv = append([]string{"unshare", "--mount", "sh", "-c", groupMount, h.group, h.t.TempDir()}, argv...)
	}
	h.daemon = launch(h.t, h.Host, "hostnat-daemon", argv...)
	waitFor(h.t, time.Minute, "the daemon to answer", func() bool {
		if h.daemon.hasEnded() {
			h.t.Fatal("the daemon has ended")
		}
		return h.command("status").Run() == nil
	})
}

func (h *host) daemonCommand() []string {
	return append([]string{hostnat, "daemon", "--conf-dir", "/nonexistent", "--state-dir", h.state, "--run-dir", h.run, "--resolv-conf", h.resolvConf}, h.flags...)
}

// command prepares a call of the command line.
func (h *host) command(args ...string) *exec.Cmd {
	socket := filepath.Join(h.run, "hostnat.sock")
	return exec.Command(hostnat, append([]string{"--socket", socket}, args...)...)
}

// hostnat calls the command line and returns what it prints.
func (h *host) hostnat(args ...string) string {
	h.t.Helper()
	return output(h.t, h.command(args...))
}

// read calls the command line with -o json and decodes what it prints.
func (h *host) read(v any, args ...string) {
	h.t.Helper()
	out := h.hostnat(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		h.t.Fatalf("hostnat %s: %v in %s", strings.Join(args, " "), err, out)
	}
}

func (h *host) sessions(filter ...string) []api.Session {
	h.t.Helper()
	var list []api.Session
	h.read(&list, append([]string{"session", "list"}, filter...)...)
	return list
}

// attach attaches an endpoint to the network web.
func (h *host) attach(name string, args ...string) api.Endpoint {
	h.t.Helper()
	var e api.Endpoint
	h.read(&e, append([]string{"endpoint", "attach", "web", name}, args...)...)
	return e
}

func (h *host) publish(external, internal string) {
	h.t.Helper()
	h.hostnat("mapping", "add", "--protocol", "tcp", "--external", external, "--internal", internal)
}

func (h *host) links() []string {
	h.t.Helper()
	links, err := h.Host.Links()
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Sort(links)
	return links
}

// checkDown brings hostnat down and looks for what it left behind.
func (h *host) checkDown(before []string) {
	h.t.Helper()
	if out, err := h.command("down").CombinedOutput(); err != nil {
		h.t.Errorf("hostnat down: %v\n%s", err, out)
		return
	}
	h.daemon.stop(h.t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var diff string
	if lab.WaitFor(ctx, func() bool { // links into a namespace that is gone go a moment later
		diff = cmp.Diff(before, h.links())
		return diff == ""
	}) != nil {
		h.t.Errorf("links of the host before and after (-before +after):\n%s", diff)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		h.t.Error(err)
	}
	if strings.Contains(string(mounts), h.run) {
		h.t.Errorf("hostnat down left a mount below %s", h.run)
	}
	forward := h.Host.Command(context.Background(), "cat", "/proc/sys/net/ipv4/ip_forward")
	if got := output(h.t, forward); got != "0\n" {
		h.t.Errorf("ip_forward is %q, was 0", got)
	}
}
