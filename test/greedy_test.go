package test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// greed is how much of each there is, and what an answer may take at most, unless a program
// that does the least takes as long beside it.
type greed struct {
	api, proxy, watchers, datagrams, flows int
	bars                                   bars
	measured                               time.Duration
}

// bars are what answers may take: the slowest status, 99 of 100 names, 9 of 10 attachments.
type bars struct{ status, name, attach time.Duration }

// Greed is the name of an environment variable. With the value "full" there is as much as issue
// 12 asks for, and times are held against its bars.
const Greed = "HOSTNAT_GREED"

func greedOf(t *testing.T) greed {
	switch v := os.Getenv(Greed); v {
	case "full":
		return greed{16_000, 14_044, 10_000, 6_000, 420_000, bars{time.Second, 10 * time.Millisecond, 200 * time.Millisecond}, 20 * time.Second}
	case "":
		return greed{1_000, 1_000, 200, 2_000, 20_000, bars{3 * time.Second, 100 * time.Millisecond, time.Second}, 3 * time.Second}
	default:
		t.Fatalf("%s=%s: it can be full", Greed, v)
		return greed{}
	}
}

// All that is greedy at once: another user's connections to the API, watchers of events, idle
// connections to a port proxy, others that come and go, datagrams with made-up sources to another, and one endpoint that
// floods the session table. They take all of the processors. The daemon goes on: status, names
// and changes, in little memory, and no later than a program that does nothing but answer.
func TestGreedyClientsTogether(t *testing.T) {
	g := greedOf(t)
	h := startOn(t, lab.StartTopology(t, 3))
	c2, bystander := h.Topology.Endpoints[1], h.Topology.Endpoints[2]
	for i, n := range h.Topology.Endpoints[1:] {
		if _, err := h.AttachEndpoint(t.Context(), api.EndpointSpec{Network: "web", Name: fmt.Sprintf("c%d", i+2), Netns: n.Name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, spec := range []api.ProxySpec{
		{Kind: api.V4ToV4, Listen: "9090", Connect: "c2:7"},
		{Kind: api.V4ToV4, Protocol: "udp", Listen: "9091", Connect: "c2:7"},
	} {
		if _, err := h.AddProxy(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	c := h.newContender(bystander)
	h.role(c2, 0, "answers", "172.16.1.3:7", filepath.Join(h.dir, "served"), 1)
	h.beGreedy(g)
	var felt api.Status
	t.Cleanup(func() { // what the wait ended with, if it was in vain
		if t.Failed() {
			t.Logf("clients %+v, drops %v, %d sessions, problems %q", felt.Clients, felt.Drops, felt.Sessions, felt.Problems)
		}
	})
	h.waitFor(2*patienceWithDaemon, "the greed to be felt", func() bool {
		s, err := h.Status(t.Context())
		felt = s
		return err == nil && s.Clients.RefusedConnections+s.Clients.ClosedIdle > 0 && s.Clients.RefusedWatchers > 0 && s.Drops["endpoint-limit"]+s.Sessions > uint64(min(g.flows/2, 10_000))
	})
	c.measure(g.measured)
	c.report(g.bars)
}

// beGreedy starts all who are.
func (h *host) beGreedy(g greed) {
	h.t.Helper()
	socket, nobody := filepath.Join(h.dir, "run", "hostnat.sock"), 65534
	c1, err := h.Endpoint(h.t.Context(), "c1")
	if err != nil {
		h.t.Fatal(err)
	}
	link := func(n *lab.Namespace, name string) string {
		l, err := n.Link(name)
		if err != nil {
			h.t.Fatal(err)
		}
		return l.HardwareAddr.String()
	}
	h.role(h.Host, nobody, "connections", socket, g.api)
	h.role(h.Host, 0, "watchers", socket, g.watchers)
	h.role(h.Remote, 0, "clients", lab.HostAddress+":9090", g.proxy)
	h.role(h.Remote, 0, "hasty", lab.HostAddress+":9090", 2)
	h.role(h.Remote, 0, "sources", link(h.Remote, lab.RemoteLink), link(h.Host, lab.HostLink), g.datagrams)
	h.role(h.inside, 0, "flows", c1.MAC, link(h.Host, "hn-web"), g.flows)
}

// role has this test program be something else, in a namespace and as some user, until the
// test ends.
func (h *host) role(n *lab.Namespace, user int, order ...any) {
	h.t.Helper()
	cmd := n.Command(context.Background(), "setpriv", fmt.Sprintf("--reuid=%d", user), "--clear-groups", "--", h.program())
	cmd.Env = append(os.Environ(), greedVariable+"="+strings.TrimSpace(fmt.Sprintln(order...)))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// program is this test program where every user can run it: the test's folders are root's
// alone, and so is go test's.
func (h *host) program() string {
	h.t.Helper()
	copied := filepath.Join(h.dir, "greedy")
	if _, err := os.Stat(copied); err == nil {
		return copied
	}
	for dir := h.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(copied, program, 0o755)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return copied
}

// residentMemory is what the daemon has, in bytes.
func (h *host) residentMemory() int {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", h.daemon.Process.Pid))
	if err != nil {
		h.t.Error(err)
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, is := strings.CutPrefix(lines.Text(), "VmRSS:"); is {
			kilobytes, _ := strconv.Atoi(strings.Fields(text)[0])
			return kilobytes << 10
		}
	}
	return 0
}
