package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// aSession is one from the internal port n.
func aSession(n uint16) api.Session {
	return api.Session{Endpoint: "c1", Protocol: api.UDP, State: api.StateNone, Internal: netip.AddrPortFrom(netip.MustParseAddr("172.16.1.2"), n),
		External: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), n), Remote: netip.MustParseAddrPort("192.0.2.7:53"),
		LifetimeSeconds: 300, PacketsOut: 1, BytesOut: 60}
}

func TestSessionLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{env: env{Stdout: &out}, format: formatTable}
	show := a.sessionLines()
	older, busier := aSession(2), aSession(3)
	older.LifetimeSeconds--
	busier.PacketsIn, busier.BytesIn = 4, 400
	tcp := aSession(4)
	tcp.Protocol, tcp.State, tcp.Endpoint = api.TCP, api.StateInternalSYN, ""
	open := tcp
	open.State = api.StateEstablished
	for _, list := range [][]api.Session{
		{aSession(1), aSession(2), aSession(3), tcp}, {older, busier, open, aSession(5)}, {older, busier, open, aSession(5)}, {},
	} {
		if err := show(list); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, "--")
	}
	want := `new     udp c1 172.16.1.2:1 → 203.0.113.1:1 → 192.0.2.7:53 - packets 1/0 bytes 60/0
new     udp c1 172.16.1.2:2 → 203.0.113.1:2 → 192.0.2.7:53 - packets 1/0 bytes 60/0
new     udp c1 172.16.1.2:3 → 203.0.113.1:3 → 192.0.2.7:53 - packets 1/0 bytes 60/0
new     tcp - 172.16.1.2:4 → 203.0.113.1:4 → 192.0.2.7:53 internal-syn packets 1/0 bytes 60/0
--
ended   udp c1 172.16.1.2:1 → 203.0.113.1:1 → 192.0.2.7:53 - packets 1/0 bytes 60/0
changed udp c1 172.16.1.2:3 → 203.0.113.1:3 → 192.0.2.7:53 - packets 1/4 bytes 60/400
changed tcp - 172.16.1.2:4 → 203.0.113.1:4 → 192.0.2.7:53 established packets 1/0 bytes 60/0
new     udp c1 172.16.1.2:5 → 203.0.113.1:5 → 192.0.2.7:53 - packets 1/0 bytes 60/0
--
--
ended   udp c1 172.16.1.2:2 → 203.0.113.1:2 → 192.0.2.7:53 - packets 1/0 bytes 60/0
ended   udp c1 172.16.1.2:3 → 203.0.113.1:3 → 192.0.2.7:53 - packets 1/4 bytes 60/400
ended   tcp - 172.16.1.2:4 → 203.0.113.1:4 → 192.0.2.7:53 established packets 1/0 bytes 60/0
ended   udp c1 172.16.1.2:5 → 203.0.113.1:5 → 192.0.2.7:53 - packets 1/0 bytes 60/0
--
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSessionScreenFitsTheTerminal(t *testing.T) {
	t.Parallel()
	list := make([]api.Session, 10)
	for i := range list {
		list[i] = aSession(uint16(i + 1))
	}
	tests := []struct {
		columns, lines int
		rows           int
		last           string
	}{
		{0, 0, 11, "172.16.1.2:10"},
		{200, 12, 11, "172.16.1.2:10"},
		{200, 11, 10, "and 2 more"},
		{40, 5, 4, "and 8 more"},
		{40, 1, 11, "172.16.1.2:10"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		a := &app{env: env{Stdout: &out, Size: func() (int, int) { return tt.columns, tt.lines }}, format: formatTable}
		if err := a.sessionScreen(list); err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(out.String(), "\x1b[H")
		text, below := strings.CutSuffix(text, "\x1b[J")
		rows := strings.Split(strings.TrimSuffix(text, "\x1b[K\n"), "\x1b[K\n")
		if !ok || !below || len(rows) != tt.rows || !strings.Contains(rows[len(rows)-1], tt.last) {
			t.Errorf("%dx%d: got %q", tt.columns, tt.lines, out.String())
		}
		for _, row := range rows {
			if n := len([]rune(row)); tt.columns > 0 && n > tt.columns {
				t.Errorf("%dx%d: a row has %d columns", tt.columns, tt.lines, n)
			}
		}
	}
}

func TestSessionWatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args     []string
		terminal bool
		want     []string // what must come, one after the other
	}{
		"piped":    {nil, false, []string{"new     tcp c1 ", "ended   tcp c1 "}},
		"JSON":     {[]string{"-o", "json"}, true, []string{`{"change":"new","nat":"default",`, `{"change":"ended","nat":"default",`}},
		"terminal": {nil, true, []string{"\x1b[HPROTOCOL", "172.16.1.2:40000", "\x1b[HPROTOCOL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := servertest.Example()
			socket := filepath.Join(t.TempDir(), "s")
			stop, err := serve(service, socket)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			var out lockedBuffer
			var errs bytes.Buffer
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			e := testEnv(nil, &errs, append([]string{"session", "watch", "--endpoint", "c1", "--socket", socket}, tt.args...)...)
			e.Stdout, e.Terminal = &out, tt.terminal
			code := make(chan int, 1)
			go func() { code <- run(ctx, e) }()
			if !appears(&out, tt.want[:1]) {
				t.Fatalf("got %q", out.String())
			}
			service.SetSessions()
			if !appears(&out, tt.want) {
				t.Errorf("got %q, want %q", out.String(), tt.want)
			}
			interrupt()
			if got := <-code; got != exitDone {
				t.Errorf("exit code %d: %s", got, errs.String())
			}
			if got := service.Filter(); got != (model.Filter{Endpoint: "c1"}) {
				t.Errorf("filter %+v", got)
			}
		})
	}
}

// appears waits until the texts are in the output, in order.
func appears(out *lockedBuffer, texts []string) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		rest, found := out.String(), true
		for _, text := range texts {
			if found {
				_, rest, found = strings.Cut(rest, text)
			}
		}
		if found {
			return true
		}
	}
	return false
}

// A daemon that goes away is an error, not an empty list.
func TestSessionWatchWithoutDaemon(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	code := run(t.Context(), testEnv(&out, &errs, "session", "watch", "--socket", "/nonexistent/s"))
	if code != exitRefused || !strings.Contains(errs.String(), "is not running") {
		t.Errorf("got %d, %q", code, errs.String())
	}
}
