package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/api"
)

// watching is `hostnat event watch` in the background, and what it has printed.
type watching struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	lines []string
	ended chan struct{}
}

func (w *watching) read() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.lines...)
}

// watchCommand begins to watch, with these arguments, and returns when the daemon
// has sent its answer's header: when the first line has come, if any are recorded, or
// a packet that is dropped on purpose is seen.
func watchCommand(m *machine, ts *testscript.TestScript, args []string) error {
	return m.watch(ts, m.command(context.Background(), append([]string{"event", "watch"}, args...)...))
}

// packetsCommand begins to capture, with these arguments, and returns when it has begun.
func packetsCommand(m *machine, ts *testscript.TestScript, args []string) error {
	cmd := m.command(context.Background(), append([]string{"capture"}, args...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := m.watch(ts, cmd); err != nil {
		return err
	}
	lines := bufio.NewReader(said)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "capturing") {
		return fmt.Errorf("capture says %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(os.Stderr, lines) }() // why it has ended, if it does
	return nil
}

func (m *machine) watch(ts *testscript.TestScript, cmd *exec.Cmd) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w := &watching{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			w.mu.Lock()
			w.lines = append(w.lines, scanner.Text())
			w.mu.Unlock()
		}
		_ = cmd.Wait()
	}()
	m.watching = w
	ts.Defer(func() { _ = cmd.Process.Signal(os.Interrupt); <-w.ended })
	return nil
}

// watchedCommand waits until so many lines have come, and prints them.
func watchedCommand(m *machine, ts *testscript.TestScript, args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	deadline := time.Now().Add(m.patience)
	for ended := false; ; {
		lines := m.watching.read()
		if len(lines) >= count {
			fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
			return nil
		}
		if ended {
			return fmt.Errorf("it ended after %d lines: %v", len(lines), lines)
		}
		select {
		case <-m.watching.ended:
			ended = true // what it has printed last is read once more
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d lines came within %v: %v", len(lines), m.patience, lines)
		}
	}
}

// TestWhoChangedWhat: a change is an event with what it changed, and the user and the
// process that asked for it.
func TestWhoChangedWhat(t *testing.T) {
	h := startHost(t)
	events, err := h.Watch(t.Context(), api.EventFilter{Kinds: []string{"configuration"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.SetNAT(t.Context(), "default", map[string]string{"udp-timeout": "600"}); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-events:
		want := fmt.Sprintf("Configuration changed by root (pid %d): set NAT default: nat default changed: timeouts.udp 300 → 600.", os.Getpid())
		if e.Message != want || e.ID != 2040 {
			t.Errorf("event %d: %s\nwant %s", e.ID, e.Message, want)
		}
	case <-time.After(20 * time.Second):
		t.Error("no event has come")
	}
}

// recordCommand begins a recording, with these arguments, and returns when it has begun.
func recordCommand(m *machine, _ *testscript.TestScript, args []string) error {
	cmd := m.command(context.Background(), append([]string{"record"}, args...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.recording = cmd
	lines := bufio.NewReader(said)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "recording") {
		return fmt.Errorf("record says %q, %v", line, err)
	}
	m.recordingSaid = lines
	return nil
}

// recordedCommand has a namespace ping an address until the recording has all packets that
// were asked for.
func recordedCommand(m *machine, ts *testscript.TestScript, args []string) error {
	ended := make(chan string)
	go func() {
		said, _ := io.ReadAll(m.recordingSaid)
		ended <- string(said)
	}()
	var missed error // pings are but packets to be recorded: on a machine that has no time for them there are fewer
	deadline := time.Now().Add(6 * patience)
	for {
		select {
		case said := <-ended:
			fmt.Fprint(ts.Stdout(), said)
			return m.recording.Wait()
		default:
		}
		if time.Now().After(deadline) {
			_ = m.recording.Process.Kill()
			<-ended
			return errors.Join(fmt.Errorf("the recording has not all packets within %v: %w", 6*patience, missed), m.recording.Wait())
		}
		missed = m.ping(args[0], args[1])
	}
}
