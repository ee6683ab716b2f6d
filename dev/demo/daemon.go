package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// daemon is a hostnat daemon that runs in the demo's host.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // how it ended; valid after exited is closed
}

// startDaemon starts one and returns after how long it answered.
func (s *stage) startDaemon(ctx context.Context) (time.Duration, error) {
	log, err := os.Create(filepath.Join(s.dir, "daemon.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close() // the daemon has its own descriptor
	s.command("hostnat daemon &")
	d := &daemon{exited: make(chan struct{})}
	d.cmd = exec.Command(s.self, "daemon", "--state-dir", s.stateDir(), "--run-dir", s.runDir(), "--conf-dir", "/nonexistent")
	d.cmd.Stderr, d.cmd.SysProcAttr = log, ownGroup()
	start := time.Now()
	if err := s.net.Host.Do(d.cmd.Start); err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.exited)
	}()
	s.daemon = d
	if err := s.awaitDaemon(ctx); err != nil {
		return 0, fmt.Errorf("the daemon does not answer: %w (%s)", err, s.lastWords())
	}
	return time.Since(start), nil
}

func (s *stage) awaitDaemon(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("30 s are over"))
	defer cancel()
	var ended error
	err := lab.WaitFor(ctx, func() bool {
		select {
		case <-s.daemon.exited:
			ended = fmt.Errorf("it has ended: %w", s.daemon.err)
			return true
		default:
			_, err := s.client.Version(ctx)
			return err == nil
		}
	})
	return errors.Join(err, ended)
}

// kill is kill -9; it returns when the process is gone.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may be gone already
	<-d.exited
}

// end waits until the daemon has ended by itself.
func (d *daemon) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	select {
	case <-d.exited:
		return d.err
	case <-ctx.Done():
		return fmt.Errorf("the daemon still runs: %w", ctx.Err())
	}
}

// ownGroup keeps a ^C on the terminal from the demo's children: the demo
// itself ends them, in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// lastWords is the last line of the daemon's log.
func (s *stage) lastWords() string {
	log, err := os.ReadFile(filepath.Join(s.dir, "daemon.log"))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(lines[len(lines)-1])
}
