package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// keepHasty connects to a port proxy and closes, as fast as it can, by so many threads.
func keepHasty(args []string, count int) error {
	for range count {
		go func() {
			for {
				if c, err := net.DialTimeout("tcp", args[0], time.Second); err == nil {
					c.Close()
				}
			}
		}()
	}
	select {}
}

// proxyTo has c2 answer at a port, and a proxy at port 9090 lead there.
func (h *host) proxyTo(c2 *lab.Namespace) {
	h.t.Helper()
	_, err := h.AttachEndpoint(h.t.Context(), api.EndpointSpec{Network: "web", Name: "c2", Netns: c2.Name})
	h.must(err)
	_, err = h.AddProxy(h.t.Context(), api.ProxySpec{Kind: api.V4ToV4, Listen: "9090", Connect: "c2:7"})
	h.must(err)
	h.role(c2, 0, "answers", "172.16.1.3:7", filepath.Join(h.dir, "served"), 1)
	h.waitFor(patienceWithDaemon, "an answer by the proxy", func() bool { return askProxy(h.inside, "172.16.1.1:9090") == nil })
}

// askProxy connects, has one byte back and closes first.
func askProxy(from *lab.Namespace, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patienceWithDaemon)
	defer cancel()
	c, err := from.Dial(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * patienceWithDaemon)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(bufio.NewReader(c), make([]byte, 1))
	return err
}

// A client connects to a port proxy and closes as fast as it can. What comes faster than others may
// is refused and told, and its neighbour's connections go on.
func TestHastyClients(t *testing.T) {
	h := startOn(t, lab.StartTopology(t, 2))
	h.proxyTo(h.Topology.Endpoints[1])
	h.role(h.Remote, 0, "hasty", lab.HostAddress+":9090", 8)
	var p api.Proxy
	h.waitFor(6*patienceWithDaemon, "a client to be refused", func() bool {
		if err := askProxy(h.inside, "172.16.1.1:9090"); err != nil {
			t.Errorf("a neighbour of a hasty client: %v", err)
		}
		all, err := h.Proxies(t.Context())
		h.must(err)
		p = all[0]
		return p.Refused > 5000 && p.TotalConnections > 2000 || t.Failed()
	})
	t.Logf("%d connections, %d refused", p.TotalConnections, p.Refused)
	if s, err := h.Status(t.Context()); err != nil || len(s.Problems) == 0 {
		t.Errorf("status says %q, %v", s.Problems, err)
	}
}

// Connections that the client closes first leave the host's port to the server waiting for a minute
// (TIME-WAIT). A proxy has more of them than the host has ports, and none is refused.
func TestMoreShortConnectionsThanPorts(t *testing.T) {
	h := startOn(t, lab.StartTopology(t, 2))
	h.must(h.Host.Sysctl("net/ipv4/ip_local_port_range", "40000 40199"), h.Host.Sysctl("net/ipv4/ip_local_reserved_ports", "40100"))
	h.proxyTo(h.Topology.Endpoints[1])
	for i := range 1000 {
		if err := askProxy(h.inside, "172.16.1.1:9090"); err != nil {
			all, _ := h.Proxies(t.Context())
			t.Fatalf("connection %d: %v; %+v", i, err, all)
		}
	}
	sources := h.timeWaitTo(netip.MustParseAddrPort("172.16.1.3:7"))
	if len(sources) < 100 || sources[40100] {
		t.Errorf("the connections came from %d ports; from the reserved one: %v", len(sources), sources[40100])
	}
}

// timeWaitTo returns the host's ports of the connections to an address that are over.
func (h *host) timeWaitTo(to netip.AddrPort) map[uint16]bool {
	h.t.Helper()
	out, err := h.Host.Command(h.t.Context(), "ss", "-Htn", "state", "time-wait", "dst", to.String()).Output()
	if err != nil {
		h.t.Fatal(err)
	}
	ports := make(map[uint16]bool)
	for line := range strings.Lines(string(out)) {
		var queues [2]int
		var from, peer string
		if _, err := fmt.Sscan(line, &queues[0], &queues[1], &from, &peer); err == nil {
			port, err := strconv.ParseUint(from[strings.LastIndexByte(from, ':')+1:], 10, 16)
			h.must(err)
			ports[uint16(port)] = true
		}
	}
	return ports
}
