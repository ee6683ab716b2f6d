package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// greedVariable makes this test program a local user who opens as many idle connections to
// the API as its value says, "SOCKET COUNT", and opens others for those that are closed.
const greedVariable = "HOSTNAT_TEST_GREED"

func runGreed(order string) int {
	socket, text, _ := strings.Cut(order, " ")
	count, err := strconv.Atoi(text)
	if err != nil {
		return 2
	}
	held := make([]net.Conn, count)
	for {
		for i := range held {
			if held[i] != nil && isOpen(held[i]) {
				continue
			}
			time.Sleep(regret)
			if held[i], err = net.DialTimeout("unix", socket, time.Second); err != nil {
				held[i] = nil
				continue
			}
			_, _ = held[i].Write([]byte("GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// How long those wait who were sent away: they are greedy for places, not for the processor's time.
const (
	regret         = 2 * time.Millisecond // and the next connection is tried
	regretWatching = 10 * time.Second     // and this watcher tries again
)

// isOpen reads what has come, and reports whether the other end is still there.
func isOpen(c net.Conn) bool {
	b := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(time.Microsecond))
	for {
		_, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
		if err != nil {
			c.Close()
			return false
		}
	}
}

// greed is how much of each there is, and what an answer may take.
type greed struct {
	api, proxy, watchers, datagrams, flows int
	status, name, attach                   time.Duration
	measured                               time.Duration
}

// Greed is the name of an environment variable. With the value "full" there is as much as issue
// 12 asks for, and times are held against its bars, which mean something on a quiet machine only.
const Greed = "HOSTNAT_GREED"

func greedOf(t *testing.T) greed {
	switch v := os.Getenv(Greed); v {
	case "full":
		return greed{16_000, 14_044, 10_000, 6_000, 420_000, time.Second, 10 * time.Millisecond, 200 * time.Millisecond, 20 * time.Second}
	case "":
		return greed{1_000, 1_000, 200, 2_000, 20_000, 10 * time.Second, 5 * time.Second, 5 * time.Second, 2 * time.Second}
	default:
		t.Fatalf("%s=%s: it can be full", Greed, v)
		return greed{}
	}
}

// All that is greedy at once: another user's connections to the API, watchers of events, idle
// connections to a port proxy, datagrams with made-up sources to another, and one endpoint that
// floods the session table. The daemon goes on: status, names and changes, and in little memory.
func TestGreedyClientsTogether(t *testing.T) {
	g := greedOf(t)
	h := startOn(t, lab.StartTopology(t, 2))
	if _, err := h.AttachEndpoint(t.Context(), api.EndpointSpec{Network: "web", Name: "c2", Netns: h.Topology.Endpoints[1].Name}); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []api.ProxySpec{
		{Kind: api.V4ToV4, Listen: "9090", Connect: "c2:7"},
		{Kind: api.V4ToV4, Protocol: "udp", Listen: "9091", Connect: "c2:7"},
	} {
		if _, err := h.AddProxy(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	h.echo(h.Topology.Endpoints[1], "tcp", "172.16.1.3:7")
	h.echo(h.Topology.Endpoints[1], "udp", "172.16.1.3:7")
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	h.greedyUser(g.api)
	for range g.watchers {
		running.Go(func() { watchUntil(ctx, h.Client) })
	}
	running.Go(func() { h.idleClients(ctx, g.proxy) })
	running.Go(func() { h.madeUpSources(ctx, g.datagrams) })
	running.Go(func() {
		for ctx.Err() == nil {
			h.flood(g.flows)
		}
	})
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
	status, names, attach, memory := h.measure(g.measured)
	t.Logf("status: median %v, slowest %v; names: median %v, p99 %v of %d; attach: median %v, slowest %v; the daemon has %d MB",
		part(status, 50), part(status, 100), part(names, 50), part(names, 99), len(names), part(attach, 50), part(attach, 100), memory>>20)
	for what, is := range map[string][2]time.Duration{
		"status": {part(status, 100), g.status}, "names, p99": {part(names, 99), g.name}, "attach": {part(attach, 100), g.attach},
	} {
		if is[0] > is[1] {
			t.Errorf("%s takes %v, and may take %v", what, is[0], is[1])
		}
	}
	if memory > 200<<20 {
		t.Errorf("the daemon has %d MB of memory", memory>>20)
	}
}

// part is the time that so many in a hundred keep within.
func part(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	times = slices.Sorted(slices.Values(times))
	return times[max(0, (len(times)*percent+99)/100-1)]
}

// greedyUser runs a program of another user who opens connections to the API.
func (h *host) greedyUser(count int) {
	h.t.Helper()
	for dir := h.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) { // the test's folders are root's alone
		if err := os.Chmod(dir, 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	copied := filepath.Join(h.dir, "greedy")
	program, err := os.ReadFile(self) // go test's folder is root's too
	if err == nil {
		err = os.WriteFile(copied, program, 0o755)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(copied) // a path is the same in every network namespace
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", greedVariable, filepath.Join(h.dir, "run", "hostnat.sock"), count))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// watchUntil watches events, again and again if that is refused.
func watchUntil(ctx context.Context, c *api.Client) {
	for ctx.Err() == nil {
		if events, err := c.Watch(ctx, api.EventFilter{}); err == nil {
			for range events { // until the stream ends
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(regretWatching):
		}
	}
}

// idleClients opens connections to the TCP proxy from outside, says a line on each and nothing more.
func (h *host) idleClients(ctx context.Context, count int) {
	held := make([]net.Conn, 0, count)
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for len(held) < count && ctx.Err() == nil {
		dial, cancel := context.WithTimeout(ctx, time.Second)
		c, err := h.Remote.Dial(dial, "tcp", lab.HostAddress+":9090")
		cancel()
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		if held = append(held, c); len(held) > 4000 { // this test's own files are limited too
			held[0].Close()
			held = held[1:]
			count--
		}
	}
	<-ctx.Done()
}

// madeUpSources sends datagrams to the UDP proxy, each from an address that nobody has.
func (h *host) madeUpSources(ctx context.Context, count int) {
	out, err := h.Host.Link(lab.HostLink)
	remote, err2 := h.Remote.Link(lab.RemoteLink)
	if err != nil || err2 != nil {
		h.t.Errorf("%v, %v", err, err2)
		return
	}
	frames := make([][]byte, count)
	for i := range frames {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 4000)
		frames[i] = ethernet(remote.HardwareAddr, out.HardwareAddr, wire.EtherIPv4,
			wire.Segment{Protocol: model.UDP, From: from, To: netip.MustParseAddrPort(lab.HostAddress + ":9091"), Payload: []byte("x")}.IP())
	}
	for ctx.Err() == nil {
		if err := lab.SendFrames(h.Remote, lab.RemoteLink, frames...); err != nil {
			h.t.Error(err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// measure says how long everybody waits meanwhile, and how much memory the daemon has at most.
func (h *host) measure(wanted time.Duration) (status, names, attach []time.Duration, memory int) {
	h.t.Helper()
	extra, err := lab.NewNamespace("greedy")
	if err != nil {
		h.t.Fatal(err)
	}
	defer extra.Close()
	timed := func(list *[]time.Duration, what string, do func() error) {
		begin := time.Now()
		if err := do(); err != nil {
			h.t.Errorf("%s: %v", what, err)
		}
		*list = append(*list, time.Since(begin))
	}
	for begin := time.Now(); time.Since(begin) < wanted; {
		timed(&status, "status", func() error { _, err := h.Status(h.t.Context()); return err })
		for range 20 {
			timed(&names, "a name", h.askName)
		}
		timed(&attach, "attach", func() error {
			_, err := h.AttachEndpoint(h.t.Context(), api.EndpointSpec{Network: "web", Name: "extra", Netns: extra.Name})
			return err
		})
		if err := h.DetachEndpoint(h.t.Context(), "extra"); err != nil {
			h.t.Error(err)
		}
		memory = max(memory, h.residentMemory())
	}
	return status, names, attach, memory
}

// askName asks the gateway for a name from c2.
func (h *host) askName() error {
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Second)
	defer cancel()
	conn, err := h.Topology.Endpoints[1].Dial(ctx, "udp", "172.16.1.1:53")
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn}
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("c1.web.internal.", dns.TypeA)); err != nil {
		return err
	}
	reply, err := c.ReadMsg()
	if err == nil && len(reply.Answer) != 1 {
		err = fmt.Errorf("answer %v", reply)
	}
	return err
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
