package test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// formerCommit is the version from which a running host must be taken over: its
// tables, pins and files have other names and layouts than today's.
const formerCommit = "9fe2e36"

// TestTakeover replaces a running daemon of an earlier version during 1,000 open
// TCP connections with data moving, half of them outbound and half to a published
// port. None breaks, no external port changes, and all of the configuration is there.
func TestTakeover(t *testing.T) {
	lab.RequireRoot(t)
	former := buildFormer(t)
	dir := t.TempDir()
	top := lab.StartTopology(t, 1)
	h := &host{Topology: top, t: t, dir: dir, inside: top.Endpoints[0],
		Client: api.NewClient(filepath.Join(dir, "run", "hostnat.sock"))}
	o := formerDaemon{h, former}
	o.start()
	ended := false
	t.Cleanup(func() {
		if !ended {
			o.hostnat("down")
		} else if err := h.Down(context.Background()); err != nil {
			t.Errorf("down: %v", err)
		}
		h.end(syscall.SIGTERM)
		if t.Failed() {
			h.showLog()
		}
	})
	o.configure()
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.inside, "tcp", ":80")
	k := newTalkers(t)
	if err := errors.Join(k.open(t.Context(), h.inside, outside, 500), k.open(t.Context(), h.Remote, published, 500)); err != nil {
		t.Fatal(err)
	}
	k.talk()
	k.waitRound(h)
	before := o.lists(former)

	h.end(syscall.SIGKILL)
	k.waitRound(h)
	h.start()
	ended = true
	k.waitRound(h)

	after := h.flows()
	if len(after) != 1000 {
		t.Errorf("%d sessions after the takeover, want 1000", len(after))
	}
	checkSeen(t, k, after)
	h.checkNewFlows()
	if diff := gocmp.Diff(before, o.lists(build(t))); diff != "" {
		t.Errorf("what is configured (-before +after):\n%s", diff)
	}
	k.hangUp(t)
	t.Logf("%d exchanges, the slowest took %v", k.exchanges.Load(), time.Duration(k.slowest.Load()))
	if slowest := time.Duration(k.slowest.Load()); slowest > 3*time.Second {
		t.Errorf("traffic paused: an exchange took %v", slowest)
	}
}

// newSettings are those of a NAT that the former program does not know.
var newSettings = map[string]bool{"link-local": true, "table": true}

// renamedSettings are those that have another name now.
var renamedSettings = map[string]string{"overflow": "endpoint-dependent"}

// renamedValues are how values are printed now that were printed otherwise.
var renamedValues = map[string]string{"no": "off", "yes": "on"}

// buildFormer makes the program of formerCommit from the history.
func buildFormer(t *testing.T) string {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("E2E") == "required" {
		skip = t.Fatalf
	}
	if err := exec.Command("git", "-C", "..", "cat-file", "-e", formerCommit+"^{commit}").Run(); err != nil {
		skip("no commit %s in the history here (a clone that is whole has it): %v", formerCommit, err)
	}
	dir := t.TempDir()
	unpack := exec.Command("sh", "-c", "git -C .. archive "+formerCommit+" | tar -x -C \"$0\"", dir)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpacking %s: %v\n%s", formerCommit, err, out)
	}
	return buildTree(t, dir)
}

// buildTree makes the program of a source tree.
func buildTree(t *testing.T, tree string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "hostnat")
	compile := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./cmd/hostnat")
	compile.Dir, compile.Env = tree, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", tree, err, out)
	}
	return binary
}

// formerDaemon is a host whose daemon is another program, which this one's client
// does not understand in all: it is told by its own command line.
type formerDaemon struct {
	*host
	binary string
}

func (o formerDaemon) start() {
	o.t.Helper()
	log, err := os.OpenFile(o.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		o.t.Fatal(err)
	}
	defer log.Close()
	o.daemon = o.Host.Command(context.Background(), o.binary, "daemon",
		"--state-dir", filepath.Join(o.dir, "state"), "--run-dir", filepath.Join(o.dir, "run"))
	o.daemon.Stdout, o.daemon.Stderr = log, log
	if err := o.daemon.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.waitFor(20*time.Second, "the daemon of before to answer", func() bool {
		_, err := o.run(o.binary, "status")
		return err == nil
	})
}

func (o formerDaemon) run(binary string, args ...string) (string, error) {
	cmd := o.Host.Command(context.Background(),
		append([]string{binary, "--socket", filepath.Join(o.dir, "run", "hostnat.sock")}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// hostnat runs a command of the version before.
func (o formerDaemon) hostnat(args ...string) {
	o.t.Helper()
	if out, err := o.run(o.binary, args...); err != nil {
		o.t.Errorf("hostnat %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// configure makes something of each kind, beside what startHost has.
func (o formerDaemon) configure() {
	o.t.Helper()
	for _, line := range []string{
		"pool add 10.77.0.0/16",
		"network create web --subnet 172.16.1.0/24 --exclude 172.16.1.200-172.16.1.250 --domain web.example",
		"network create each --subnet 172.17.1.0/24 --compartment each",
		"network create own --compartment lab --subnet 172.16.1.0/24 --isolation endpoint --dhcp off",
		"nat create second --profile winnat",
		"address add second 203.0.113.77:20000-29999",
		"nat set default hold-down=5s max-sessions=5000",
		"endpoint attach web c1 --alias www --netns " + o.inside.Name,
		"mapping add --protocol tcp --external 8080 --internal c1:80",
		"mapping add --protocol udp --external 7000-7009 --internal c1:9000-9009 --from 198.51.100.0/24 --from 203.0.113.0/24",
		"mapping add --protocol udp --external 53 --internal 172.16.1.50:53,172.16.1.51:53 --network web",
		"reservation add web --mac 02:00:00:00:00:55 --address 172.16.1.55",
		"proxy add v4tov4 0.0.0.0:9443 172.16.1.2:443",
		"proxy add name 0.0.0.0:9080 www.example=172.16.1.2:80",
	} {
		o.hostnat(strings.Fields(line)...)
	}
}

// lists is what is configured, as a program prints it: rows by list.
func (o formerDaemon) lists(binary string) map[string][]map[string]string {
	o.t.Helper()
	all := make(map[string][]map[string]string)
	for _, noun := range []string{"pool", "network", "nat", "address", "endpoint", "mapping", "reservation", "proxy"} {
		out, err := o.run(binary, noun, "list")
		if err != nil {
			o.t.Errorf("%s list: %v\n%s", noun, err, out)
		}
		all[noun] = rowsOf(out)
	}
	settings, err := o.run(binary, "nat", "show", "default")
	if err != nil {
		o.t.Errorf("nat show default: %v\n%s", err, settings)
	}
	for _, line := range strings.Split(settings, "\n") {
		if name, value, found := strings.Cut(line, " "); found && !newSettings[name] {
			value = strings.TrimSpace(value)
			all["nat show default"] = append(all["nat show default"], map[string]string{cmp.Or(renamedSettings[name], name): cmp.Or(renamedValues[value], value)})
		}
	}
	return all
}

// rowsOf reads a table by its heads, without those that count what goes on, and
// without those that are new.
func rowsOf(table string) []map[string]string {
	lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
	var rows []map[string]string
	heads := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		row := make(map[string]string)
		for i, head := range heads {
			from, to := strings.Index(lines[0], head), len(line)
			if i+1 < len(heads) {
				to = strings.Index(lines[0], heads[i+1])
			}
			if !slices.Contains([]string{"NOW", "TOTAL", "IN", "OUT", "REFUSED", "SESSIONS"}, head) {
				row[head] = strings.TrimSpace(line[min(from, len(line)):min(to, len(line))])
			}
		}
		rows = append(rows, row)
	}
	return rows
}
