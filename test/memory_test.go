package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// TestFloodInLittleMemory opens 420,000 flows from one endpoint of a daemon that may
// take 160 MB, kernel memory included. The daemon lives, the endpoint alone is
// refused, and others' new flows go on.
func TestFloodInLittleMemory(t *testing.T) {
	const limit, flows = 160 << 20, 420_000
	lab.RequireRoot(t)
	group := memoryGroup(t, limit)
	top := lab.StartTopology(t, 2)
	dir := t.TempDir()
	h := &host{Topology: top, t: t, dir: dir, inside: top.Endpoints[0], group: group,
		Client: api.NewClient(filepath.Join(dir, "run", "hostnat.sock"))}
	h.start()
	t.Cleanup(func() {
		if err := h.Down(context.Background()); err != nil {
			t.Errorf("down: %v", err)
		}
		h.end(syscall.SIGTERM)
		if t.Failed() {
			h.showLog()
		}
	})
	h.configure()
	if _, err := h.AttachEndpoint(t.Context(), api.EndpointSpec{Network: "web", Name: "c2", Netns: top.Endpoints[1].Name}); err != nil {
		t.Fatal(err)
	}
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.Remote, "udp", outside)
	sent := h.flood(flows)
	status, err := h.Status(t.Context())
	if err != nil {
		t.Fatalf("after %d flows: %v", sent, err)
	}
	t.Logf("%d of %d sessions, drops %v; the group has %s of %d bytes", status.Sessions, status.MaxSessions, status.Drops, group.usage(), limit)
	if status.Sessions*2 > status.MaxSessions+2 || status.Sessions*4 < status.MaxSessions {
		t.Errorf("one endpoint has %d sessions of %d, want half", status.Sessions, status.MaxSessions)
	}
	if status.Drops["endpoint-limit"] == 0 {
		t.Errorf("drops %v: want some for endpoint-limit", status.Drops)
	}
	for i := range 20 {
		for _, network := range []string{"tcp", "udp"} {
			if _, err := lab.Ask(t.Context(), top.Endpoints[1], network, outside); err != nil {
				t.Fatalf("flow %d of another endpoint: %v", i, err)
			}
		}
	}
	if _, err := h.AddMapping(t.Context(), api.MappingSpec{Protocol: "tcp", External: "8081", Internal: "c2:80"}); err != nil {
		t.Errorf("a change while the table is full: %v", err)
	}
	if failed := group.failures(); failed != "0" {
		t.Logf("the group was at its limit %s times", failed)
	}
}

// controlGroup is one with a limit of memory.
type controlGroup struct{ dir, used, failed string }

// memoryGroup makes one beside that of the test.
func memoryGroup(t *testing.T, limit int) *controlGroup {
	t.Helper()
	name := fmt.Sprintf("hostnat-test-%d", os.Getpid())
	v1, v2 := "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
	g := &controlGroup{dir: filepath.Join(v1, name), used: "memory.usage_in_bytes", failed: "memory.failcnt"}
	file := "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(v1, file)); err != nil {
		if list, err := os.ReadFile(filepath.Join(v2, "cgroup.subtree_control")); err != nil || !strings.Contains(string(list), "memory") {
			t.Skipf("no control group with a limit of memory can be made here: %v, the root hands on %q", err, list)
		}
		g.dir, g.used, g.failed, file = filepath.Join(v2, name), "memory.current", "memory.swap.peak", "memory.max"
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := lab.WaitFor(ctx, func() bool { return os.Remove(g.dir) == nil }); err != nil {
			t.Errorf("removing %s: %v", g.dir, err)
		}
	})
	if err := os.WriteFile(filepath.Join(g.dir, file), []byte(strconv.Itoa(limit)), 0); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *controlGroup) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(g.dir, name))
	return strings.TrimSpace(string(text))
}

func (g *controlGroup) usage() string    { return g.read(g.used) }
func (g *controlGroup) failures() string { return g.read(g.failed) }

// flood sends a datagram of each of so many flows from c1, past its own sockets.
func (h *host) flood(flows int) int {
	h.t.Helper()
	c1, err := h.Endpoint(h.t.Context(), "c1")
	if err != nil {
		h.t.Fatal(err)
	}
	gateway, err := h.Host.Link("hn-web")
	if err != nil {
		h.t.Fatal(err)
	}
	own, err := net.ParseMAC(c1.MAC)
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.inside.Do(func() error { return floodFlows(own, gateway.HardwareAddr, flows) })
	if err != nil {
		h.t.Fatal(err)
	}
	return flows
}

// datagram is an IPv4 packet with UDP that has no checksum and 4 bytes.
func datagram(from, to netip.Addr) []byte {
	p := []byte{0x45, 0, 0, 32, 0, 1, 0x40, 0, 64, 17, 0, 0}
	p = append(append(p, from.AsSlice()...), to.AsSlice()...)
	var sum uint32
	for i := 0; i < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p[10:], ^uint16(sum))
	return append(p, 0, 0, 0, 0, 0, 12, 0, 0, 'f', 'l', 'o', 'w')
}
