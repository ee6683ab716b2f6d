package test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/ipfix/ipfixtest"
)

// collector is a collector of IPFIX by UDP, and what it was sent.
type collector struct {
	conn    net.PacketConn
	mu      sync.Mutex
	records []ipfixtest.Record
	failed  error
}

// collect starts one in a namespace.
func collect(n *lab.Namespace, at string) (*collector, error) {
	conn, err := n.ListenPacket("udp", at)
	if err != nil {
		return nil, err
	}
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) }); err != nil {
		return nil, err
	}
	c := &collector{conn: conn}
	go c.read()
	return c, nil
}

func (c *collector) read() {
	var stream ipfixtest.Collector
	for {
		b := make([]byte, 65536)
		n, _, err := c.conn.ReadFrom(b)
		if err != nil {
			return
		}
		expected := stream.Next
		m, err := stream.Read(b[:n])
		if err == nil && m.Sequence != expected && m.Sequence != 0 { // another daemon begins anew
			err = fmt.Errorf("the sequence number is %d, not %d", m.Sequence, expected)
		}
		c.mu.Lock()
		c.records = append(c.records, m.Records...)
		if c.failed == nil {
			c.failed = err
		}
		c.mu.Unlock()
	}
}

func (c *collector) Close() error { return c.conn.Close() }

func (c *collector) all() ([]ipfixtest.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]ipfixtest.Record(nil), c.records...), c.failed
}

func collectCommand(m *machine, _ *testscript.TestScript, args []string) (err error) {
	m.collector, err = collect(m.ns(args[0]), args[1])
	if err == nil {
		m.servers = append(m.servers, m.collector)
	}
	return err
}

// collectedCommand waits until so many records have come, and prints them.
func collectedCommand(m *machine, ts *testscript.TestScript, args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.patience)
	defer cancel()
	var records []ipfixtest.Record
	waited := lab.WaitFor(ctx, func() bool {
		records, err = m.collector.all()
		return err != nil || len(records) >= count
	})
	if err != nil {
		return err
	}
	if waited != nil {
		return fmt.Errorf("%d records: %v: %w", len(records), records, waited)
	}
	for _, r := range records {
		remote := ""
		if r.Has(12) {
			remote = " " + r.At(12, 11).String()
		}
		fmt.Fprintf(ts.Stdout(), "%d nat %d protocol %d %s = %s%s in %s\n", r.Number(230), r.Number(463), r.Number(4), r.At(8, 7), r.At(225, 227), remote, r.Values[464])
	}
	return nil
}

// TestExportIsWhole: each binding and each session has one record of its begin and one of its
// end, with the same addresses, and none is lost.
func TestExportIsWhole(t *testing.T) {
	const flows = 1000
	top := lab.StartTopology(t, 1)
	c, err := collect(top.Remote, lab.RemoteAddress+":4739")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv(collectorVariable, "udp:"+lab.RemoteAddress)
	h := startOn(t, top)
	sink, err := h.Remote.ListenPacket("udp", lab.RemoteAddress+":9")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	for range flows {
		conn, err := h.inside.Dial(t.Context(), "udp", sink.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if ended, err := h.DeleteSessions(t.Context(), api.Filter{Endpoint: "c1", Protocol: "udp"}, false); err != nil || ended.Ended != flows {
		t.Fatalf("%+v, %v", ended, err)
	}
	var records []ipfixtest.Record
	h.waitFor(60*time.Second, "all records", func() bool {
		records, err = c.all()
		return err != nil || len(records) >= 4*flows
	})
	seen := make(map[string][]string) // events by their addresses
	for _, r := range records {
		key := fmt.Sprint(r.Number(4), r.At(8, 7), r.At(225, 227))
		seen[key] = append(seen[key], fmt.Sprint(r.Number(230)))
		if r.Has(12) || r.Has(226) {
			t.Fatalf("a remote that nobody asked for: %v", r)
		}
	}
	if err != nil || len(records) != 4*flows || len(seen) != flows {
		t.Fatalf("%d records of %d flows, want 4 of each of %d; %v", len(records), len(seen), flows, err)
	}
	for key, events := range seen {
		if got := strings.Join(events, " "); got != "8 4 5 9" {
			t.Errorf("%s: events %s", key, got)
		}
	}
}
