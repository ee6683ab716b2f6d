package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/server/servertest"
	"github.com/hostnat/hostnat/internal/tokens"
)

// client is a connection as the server has it, whose other end tells whether it
// was closed.
func client(t *testing.T, uid uint32) (*connection, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return &connection{Conn: ours, peer: peer{uid: uid}, trusted: uid == 0}, theirs
}

func closed(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

var often = tokens.Rate{PerSecond: 1000, Burst: 1000}

// A user's own idle connections give way to new ones of his, never those of
// others; root's are taken in when others have all that they may.
func TestOldestIdleConnectionGivesWay(t *testing.T) {
	t.Parallel()
	cs := newConnections(Limits{Connections: 8, Others: 6, OfUser: 3, Opened: often})
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var ends []net.Conn
	admit := func(uid uint32, at int) (*connection, bool) {
		c, end := client(t, uid)
		ends = append(ends, end)
		return c, cs.admit(c, start.Add(time.Duration(at)*time.Second))
	}
	busy, _ := admit(1000, 0)
	cs.changed(busy, http.StateActive)
	for at := 1; at <= 2; at++ {
		if _, ok := admit(1000, at); !ok {
			t.Fatalf("connection %d is refused", at)
		}
	}
	for at := range 3 {
		if _, ok := admit(2000, at); !ok {
			t.Fatalf("connection %d of another user is refused", at)
		}
	}
	if _, ok := admit(1000, 10); !ok || !closed(ends[1]) {
		t.Error("the oldest idle connection of the user did not give way")
	}
	if closed(ends[0]) || closed(ends[2]) || closed(ends[3]) {
		t.Error("a busy connection, a younger one or another user's gave way")
	}
	if _, ok := admit(3000, 11); !ok || !closed(ends[3]) {
		t.Error("of users who have all that others may have together, the oldest did not give way")
	}
	for at := range 2 {
		if _, ok := admit(0, 20+at); !ok {
			t.Errorf("root's connection %d is refused", at)
		}
	}
	if got, want := cs.clients(), (api.Clients{Connections: 8, ClosedIdle: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBusyConnectionsAreNotClosed(t *testing.T) {
	t.Parallel()
	cs := newConnections(Limits{Connections: 8, Others: 6, OfUser: 1, Opened: often})
	c, end := client(t, 1000)
	cs.admit(c, time.Now())
	cs.changed(c, http.StateActive)
	another, _ := client(t, 1000)
	if cs.admit(another, time.Now()) || closed(end) {
		t.Error("a busy connection gave way")
	}
	cs.changed(c, http.StateIdle)
	if !cs.admit(another, time.Now()) || !closed(end) {
		t.Error("an idle connection did not give way")
	}
	if got, want := cs.clients(), (api.Clients{Connections: 1, RefusedConnections: 1, ClosedIdle: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Who connects without pause is refused before anything is done for him, others are not, and
// he is not any more when he has waited. What he sends has to wait, others' does not.
func TestUserWithoutPause(t *testing.T) {
	t.Parallel()
	cs := newConnections(Limits{
		Connections: 100, Others: 90, OfUser: 80,
		Opened: tokens.Rate{PerSecond: 2, Burst: 3}, Delivered: tokens.Rate{PerSecond: 10, Burst: 5},
	})
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	admitted := func(uid uint32, tries int) (n int) {
		for range tries {
			if c, _ := client(t, uid); cs.admit(c, now) {
				n++
			}
		}
		return n
	}
	for uid, want := range map[uint32]int{1000: 3, 2000: 3, 0: 10} {
		if n := admitted(uid, 10); n != want {
			t.Errorf("user %d opens %d of 10, want %d", uid, n, want)
		}
	}
	now = now.Add(time.Second)
	if n := admitted(1000, 10); n != 2 {
		t.Errorf("a second later he opens %d, want 2", n)
	}
	if got := cs.clients(); got.RefusedConnections != 7+7+8 || got.ClosedIdle != 0 {
		t.Errorf("got %+v", got)
	}
	var last time.Duration
	for range 25 {
		last = cs.delay(1000, now)
	}
	if last != 2*time.Second {
		t.Errorf("the 25th request waits %v, want 2s", last)
	}
	if d := cs.delay(2000, now); d != 0 {
		t.Errorf("another user's waits %v", d)
	}
}

func TestWatchersAreLimited(t *testing.T) {
	t.Parallel()
	cs := newConnections(Limits{Watchers: 4, WatchersOthers: 3, WatchersOfUser: 2})
	var got []bool
	var ends []func()
	for _, uid := range []uint32{1000, 1000, 1000, 2000, 2000, 0, 0} {
		done, ok := cs.watch(watcher{uid: uid, trusted: uid == 0})
		got, ends = append(got, ok), append(ends, done)
	}
	if diff := cmp.Diff([]bool{true, true, false, true, false, true, false}, got); diff != "" {
		t.Errorf("taken in (-want +got):\n%s", diff)
	}
	ends[0]()
	if _, ok := cs.watch(watcher{uid: 1000}); !ok {
		t.Error("a stream that ended still counts")
	}
	if got := cs.clients(); got.Watchers != 4 || got.RefusedWatchers != 3 {
		t.Errorf("got %+v", got)
	}
}

// Somebody opens as many connections as the server takes, and says nothing: root
// is answered at once.
func TestIdleConnectionsOfAnotherUser(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	socket := openSocket(t)
	left := make(chan error, 1)
	leave := make(chan struct{})
	t.Cleanup(func() { close(leave); <-left })
	begun := make(chan int, 1)
	go func() { left <- holdAs(socket, 65534, 200, begun, leave) }()
	if n := <-begun; n != 200 {
		t.Fatalf("%d connections were made", n)
	}
	c := api.NewClient(socket)
	var status api.Status
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the server takes them from the backlog
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		var err error
		status, err = c.Status(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if status.Clients.ClosedIdle+status.Clients.RefusedConnections >= 184 || time.Now().After(deadline) {
			break
		}
	}
	if got := status.Clients; got.Connections > 17+1 || got.ClosedIdle+got.RefusedConnections != 184 {
		t.Errorf("got %+v; of 64 connections one user may have 16", got)
	}
}

// openSocket serves on a socket that other users can reach.
func openSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hostnat-api") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	serveAt(t, servertest.Example(), socket)
	return socket
}

// holdAs opens connections as another user and holds them until it is told to
// leave.
func holdAs(socket string, uid uintptr, count int, begun chan<- int, leave <-chan struct{}) error {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	if err := becomeUser(uid, []uint32{uint32(uid)}); err != nil {
		begun <- 0
		return err
	}
	for range count {
		c, err := net.Dial("unix", socket)
		if err != nil {
			begun <- len(held)
			return err
		}
		held = append(held, c)
	}
	begun <- len(held)
	<-leave
	return nil
}

// A body that does not come holds nothing up for ever.
func TestBodyHasToCome(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the time that a client has for a request")
	}
	socket, _ := serve(t, servertest.Example())
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/nats HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(3 * requestTime))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), "did not come within 10s") {
		t.Errorf("got %q, %v", answer, err)
	}
}
