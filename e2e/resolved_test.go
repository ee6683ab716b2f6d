//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// resolvedLimit is how long a daemon may take to find a bus that was not there
// (it looks every 10 s), on a busy machine.
const resolvedLimit = 40 * time.Second

// busVariable is where sd-bus and hostnat look for the system's D-Bus.
func (h *host) busVariable() string { return "DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + h.bus }

// resolved is a systemd-resolved of the host, with mounts of its own: its own
// /run, and an /etc/resolv.conf that names its stub.
type resolved struct {
	*process
	h *host
}

// busConfig is a bus on which everybody may do everything.
const busConfig = `<busconfig>
<type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
<allow send_type="method_call"/><allow send_type="signal"/></policy>
</busconfig>
`

// startBus starts the host's D-Bus.
func (h *host) startBus() {
	h.t.Helper()
	daemon := need(h.t, "dbus-daemon")
	config := filepath.Join(h.t.TempDir(), "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, h.bus), 0o644); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(h.bus)), 0o711); err != nil { // systemd-resolved is another user
		h.t.Fatal(err)
	}
	start(h.t, h.Host, "dbus-daemon", daemon, "--nofork", "--nopidfile", "--config-file", config)
	waitFor(h.t, resolvedLimit, "the bus", func() bool { return exists(h.bus) })
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// resolvedProgram finds one of systemd-resolved's programs: the machine's, or
// what scripts/e2e-install.sh has unpacked.
func resolvedProgram(t *testing.T, name string) []string {
	t.Helper()
	unpacked, err := filepath.Abs("../.tools/systemd-resolved")
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"", unpacked} {
		for _, dir := range []string{"/lib/systemd", "/usr/lib/systemd", "/usr/bin"} {
			if path := filepath.Join(root, dir, name); exists(path) {
				libraries, _ := filepath.Glob(filepath.Join(root, "/usr/lib/*/systemd"))
				return []string{"env", "LD_LIBRARY_PATH=" + strings.Join(libraries, ":"), path}
			}
		}
	}
	missing(t, "%s is not there; scripts/e2e-install.sh unpacks it", name)
	return nil
}

// resolvedMounts makes a /run, users and a resolv.conf for systemd-resolved, in
// mounts of its own, and becomes it. The user has a number that the bus knows
// too, Debian's "daemon". Arguments: a directory to write to, the host's
// resolver, the program.
const resolvedMounts = `set -e
directory=$1 resolver=$2
shift 2
mount --make-rprivate /
target=$(readlink -m /etc/resolv.conf)
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/systemd/resolve /run/systemd/resolved.conf.d
printf '[Resolve]\nDNS=%s\nDomains=~.\nLLMNR=yes\n' "$resolver" >/run/systemd/resolved.conf.d/test.conf
cp /etc/passwd /etc/group "$directory"
grep -q '^systemd-resolve:' "$directory/passwd" || echo 'systemd-resolve:x:1:1::/:/usr/sbin/nologin' >>"$directory/passwd"
grep -q '^systemd-resolve:' "$directory/group" || echo 'systemd-resolve:x:1:' >>"$directory/group"
mount --bind "$directory/passwd" /etc/passwd
mount --bind "$directory/group" /etc/group
chown systemd-resolve:systemd-resolve /run/systemd/resolve
case $target in
/run/systemd/resolve/*) ;;
*)
	mkdir -p "$(dirname "$target")"
	[ -e "$target" ] || : >"$target"
	printf 'nameserver 127.0.0.53\n' >"$directory/resolv.conf"
	mount --bind "$directory/resolv.conf" "$target"
	;;
esac
exec "$@"
`

// startResolved starts systemd-resolved on the host, which asks the remote about
// names outside.
func (h *host) startResolved() *resolved {
	h.t.Helper()
	program := resolvedProgram(h.t, "systemd-resolved")
	r := &resolved{h: h}
	argv := []string{"env", h.busVariable(), "SYSTEMD_LOG_TARGET=console", "unshare", "--mount", "sh", "-c", resolvedMounts, "sh", h.t.TempDir(), lab.RemoteAddress}
	r.process = start(h.t, h.Host, "systemd-resolved", append(argv, program...)...)
	waitFor(h.t, resolvedLimit, "systemd-resolved", func() bool {
		if r.hasEnded() {
			h.t.Fatal("systemd-resolved has ended")
		}
		return r.control("status") == nil
	})
	return r
}

// command prepares a program of the host that sees what systemd-resolved sees.
func (r *resolved) command(argv ...string) *exec.Cmd {
	args := append([]string{"--target=" + strconv.Itoa(r.cmd.Process.Pid), "--mount", "--net", "--", "env", r.h.busVariable()}, argv...)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r.h.t.Cleanup(cancel)
	return exec.CommandContext(ctx, "nsenter", args...)
}

// resolvectl prepares a call of it.
func (r *resolved) resolvectl(args ...string) *exec.Cmd {
	return r.command(append(resolvedProgram(r.h.t, "resolvectl"), args...)...)
}

// control runs resolvectl.
func (r *resolved) control(args ...string) error {
	return r.resolvectl(args...).Run()
}

// link is what resolvectl says of a link's servers or domains.
func (r *resolved) link(what, name string) string {
	r.h.t.Helper()
	out := output(r.h.t, r.resolvectl(what, name))
	_, value, _ := strings.Cut(out, "):")
	return strings.TrimSpace(value)
}

// wait waits until a link has these domains.
func (r *resolved) wait(name, domains string) {
	r.h.t.Helper()
	waitFor(r.h.t, resolvedLimit, fmt.Sprintf("%s to have the domains %q", name, domains), func() bool {
		return r.link("domain", name) == domains
	})
}

// TestHostFindsNames has programs of the host reach endpoints by name, through a
// real systemd-resolved.
func TestHostFindsNames(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	curlPath := need(t, "curl")
	resolvedProgram(t, "systemd-resolved")
	h := startHost(t, 2)
	startResolver(t, h.Remote, map[string]string{"www.example.": lab.RemoteAddress, "c1.web.internal.": lab.RemoteAddress})
	h.attach("c1", "--netns", h.Endpoints[0].Name, "--alias", "db")
	startNginx(t, h.Endpoints[0], "inside")
	h.startBus()
	r := h.startResolved()

	r.wait("hn-web", "~web.internal")
	for _, host := range []string{"c1.web.internal", "db.web.internal"} {
		if got := output(t, r.command(curlPath, "-sS", "--max-time", "10", "http://"+host+"/page")); got != "inside" {
			t.Errorf("the host gets %q from %s", got, host)
		}
	}
	query := func(name string) string {
		out, err := r.resolvectl("query", "--cache=no", name).CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return string(out)
	}
	for name, want := range map[string]string{
		"www.example": lab.RemoteAddress, // still by the host's own resolver
		"172.16.1.2":  "c1.web.internal",
		"c1":          "not found", // no endpoint takes the place of a bare name
		"www":         "not found",
	} {
		if got := query(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", name, got, want)
		}
	}
	// Other programs read there whom to ask about anything.
	if list := output(t, r.command("cat", "/run/systemd/resolve/resolv.conf")); strings.Contains(list, "172.16.1.1") {
		t.Errorf("the gateway is for all names:\n%s", list)
	}
	if got := r.link("llmnr", "hn-web"); got != "no" {
		t.Errorf("llmnr is %q: an endpoint could take any bare name", got)
	}

	r.stop(t) // and start it again
	r.process = h.startResolved().process
	r.wait("hn-web", "~web.internal")

	h.hostnat("network", "set", "web", "domain=lab.internal")
	r.wait("hn-web", "~lab.internal ~web.internal")
	h.hostnat("network", "set", "web", "domain=lab.example") // may be somebody else's
	r.wait("hn-web", "~web.internal")
	h.hostnat("network", "set", "web", "dns=off")
	r.wait("hn-web", "")
	h.hostnat("network", "set", "web", "dns=on", "domain=web.internal")
	r.wait("hn-web", "~web.internal")
	h.hostnat("network", "renumber", "web", "--subnet", "172.16.9.0/24")
	waitFor(t, resolvedLimit, "the new gateway", func() bool { return r.link("dns", "hn-web") == "172.16.9.1" })

	h.namesOfTwins(r, query)
	h.adoptNames(r)
}

// namesOfTwins: of two networks with one prefix, the names of that in the host's
// compartment are found, though the other one was first.
func (h *host) namesOfTwins(r *resolved, query func(string) string) {
	h.t.Helper()
	second, err := lab.NewNamespace("e2e-twin")
	if err != nil {
		h.t.Fatal(err)
	}
	defer second.Close()
	h.hostnat("network", "create", "apart", "--subnet", "10.8.0.0/24", "--compartment", "red")
	h.hostnat("network", "create", "here", "--subnet", "10.8.0.0/24")
	h.hostnat("endpoint", "attach", "apart", "other", "--netns", h.Endpoints[1].Name)
	h.hostnat("endpoint", "attach", "here", "twin", "--netns", second.Name)
	r.wait("hn-here", "~here.internal")
	if got := r.link("domain", "hn-apart"); got != "" {
		h.t.Errorf("the network in another compartment has the domains %q", got)
	}
	waitFor(h.t, resolvedLimit, "the twin's name", func() bool { return strings.Contains(query("twin.here.internal"), "10.8.0.2") })
	if got := query("other.apart.internal"); !strings.Contains(got, "not found") {
		h.t.Errorf("the other twin: %s", got)
	}
}

// adoptNames: a bridge that was there before keeps what it was told by others,
// and is given back without what hostnat told, by a daemon that ends too.
func (h *host) adoptNames(r *resolved) {
	t := h.t
	t.Helper()
	if err := h.Host.AddBridge("br0"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Host.DeleteLink("br0"); err != nil {
			t.Error(err)
		}
	}()
	if err := r.control("dns", "br0", "192.0.2.9"); err != nil {
		t.Fatal(err)
	}
	h.hostnat("network", "create", "kept", "--subnet", "10.9.0.0/24", "--bridge", "br0", "--adopt")
	problem := "the host's programs do not find endpoints of network kept by name: bridge br0 has other name servers"
	waitFor(t, resolvedLimit, "status to say so", func() bool { return strings.Contains(h.hostnat("status"), problem) })
	if got := r.link("dns", "br0"); got != "192.0.2.9" {
		t.Errorf("its servers are %q", got)
	}
	if err := r.control("revert", "br0"); err != nil {
		t.Fatal(err)
	}
	r.wait("br0", "~kept.internal")
	if status := h.hostnat("status"); strings.Contains(status, "do not find") {
		t.Errorf("status:\n%s", status)
	}
	h.hostnat("network", "delete", "kept")
	r.wait("br0", "")
}
