package top

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/server"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// TestProgram runs the screens in a terminal, with a server behind them: a key shows the
// sessions, others end one, explain a drop, and quit.
func TestProgram(t *testing.T) {
	t.Parallel()
	service := servertest.Example()
	term := newTerminal(t, 80, 24)
	done := make(chan error, 1)
	go func() {
		done <- Run(t.Context(), serve(t, service), State{Interval: 10 * time.Millisecond, Order: "bytes", Colour: true}, term.end, term.end)
	}()
	term.shows("1000 B", "> c1") // a packet of 1,000 bytes a second
	term.press("3")
	term.shows("no-session", "A TCP segment without SYN")
	term.press("\r")
	term.shows("The flight recorder has nothing of it")
	term.press("q2x")
	term.shows("end tcp 172.16.1.2:40000 → 192.0.2.7:443 of c1?")
	if f := service.Filter(); f.Endpoint != "" {
		t.Errorf("asked for %+v before the answer", f)
	}
	term.press("y")
	term.shows("sessions ended: 1")
	if f := service.Filter(); f.Endpoint != "c1" || f.Internal != "172.16.1.2:40000" || f.Remote != "192.0.2.7:443" || f.Protocol != "tcp" {
		t.Errorf("ended %+v", f)
	}
	term.shows("nothing has sent lately")
	term.press("q")
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("q does not quit")
	}
	term.shows("\x1b[?1049l") // the terminal is given back
}

// TestProgramEnds: with its context the program ends, and says so of nothing. A daemon that
// goes away meanwhile is told, and asked again.
func TestProgramEnds(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := newTerminal(t, 80, 24)
	done := make(chan error, 1)
	client := api.NewClient(filepath.Join(socketDir(t), "s"))
	go func() {
		done <- Run(ctx, client, State{Interval: 10 * time.Millisecond, Order: "bytes"}, term.end, term.end)
	}()
	term.shows("hostnat daemon is not running")
	interrupt()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not end with its context")
	}
}

// socketDir is a directory with a name that is short enough for a socket's.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "top")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func serve(t *testing.T, service server.Service) *api.Client {
	t.Helper()
	socket := filepath.Join(socketDir(t), "s")
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	srv := server.NewServer(server.Options{Service: service, Version: "test", Log: slog.New(slog.DiscardHandler), Readers: server.ReadersAll})
	go func() { done <- srv.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return api.NewClient(socket)
}

// terminal is a pseudo terminal: the program has its end, the test the other.
type terminal struct {
	t    *testing.T
	user *os.File
	end  *os.File

	mu   sync.Mutex
	text strings.Builder
	from int // what was shown before this was asked for already
}

func newTerminal(t *testing.T, columns, lines uint16) *terminal {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	raw, err := user.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number uint32
	controlErr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
			return
		}
		if number, err = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN); err != nil {
			return
		}
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: lines, Col: columns})
	})
	if err = cmp.Or(controlErr, err); err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close() })
	term := &terminal{t: t, user: user, end: end}
	go term.read()
	return term
}

func (r *terminal) read() {
	part := make([]byte, 4096)
	for {
		n, err := r.user.Read(part)
		r.mu.Lock()
		r.text.Write(part[:n])
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *terminal) written() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *terminal) press(keys string) {
	r.t.Helper()
	r.from = len(r.written())
	if _, err := r.user.WriteString(keys); err != nil {
		r.t.Fatal(err)
	}
}

// shows waits until texts were written since the last key.
func (r *terminal) shows(texts ...string) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		missing := ""
		for _, text := range texts {
			if !strings.Contains(r.written()[r.from:], text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%q is not shown: %q", missing, r.written()[r.from:])
		}
		time.Sleep(time.Millisecond)
	}
}
