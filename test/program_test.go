package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// patienceWithDaemon is how long the daemon may take to start or end: it loads
// the data path, and other tests run at the same time.
const patienceWithDaemon = 30 * time.Second

// program is a daemon of the host.
type program struct {
	cmd   *exec.Cmd
	log   string        // file
	ended chan struct{} // closed when it has
}

// startDaemon starts it and waits until it answers.
func (m *machine) startDaemon(flags ...string) error {
	p, err := m.launch(func(cmd *exec.Cmd) error { return cmd.Start() }, flags...)
	if err != nil {
		return err
	}
	m.daemon = p
	ctx, cancel := context.WithTimeout(context.Background(), patienceWithDaemon)
	defer cancel()
	err = lab.WaitFor(ctx, func() bool {
		_, err := m.client().Status(ctx)
		return err == nil || p.hasEnded()
	})
	if p.hasEnded() {
		return fmt.Errorf("the daemon ended: %s", p.printed())
	}
	return err
}

// launch runs a daemon that start has started.
func (m *machine) launch(start func(*exec.Cmd) error, flags ...string) (*program, error) {
	p := &program{log: filepath.Join(m.dir, "log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = m.command(context.Background(), m.place(append([]string{"daemon", "--resolv-conf", m.resolvConf()}, flags...)...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := start(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // ProcessState has it
	}()
	return p, nil
}

func (p *program) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *program) printed() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// endDaemon sends it a signal (0: none) and waits until it has ended.
func (m *machine) endDaemon(signal syscall.Signal) (*os.ProcessState, error) {
	p := m.daemon
	if p == nil {
		return nil, errors.New("no daemon is running")
	}
	m.daemon = nil
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, err
	}
	select {
	case <-p.ended:
		return p.cmd.ProcessState, nil
	case <-time.After(patienceWithDaemon):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return nil, fmt.Errorf("the daemon did not end on signal %d: %s", signal, p.printed())
	}
}

// oldKernel starts a program for which the kernel is 2.6: it then says so in
// uname.
func oldKernel(cmd *exec.Cmd) error {
	const uname26 = 0x0020000
	return onLostThread(func() error {
		if _, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, uname26, 0, 0); errno != 0 {
			return errno
		}
		return cmd.Start()
	})
}

// noBTF starts a program with mounts of its own that hide the kernel's types.
func noBTF(cmd *exec.Cmd) error {
	return onLostThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("none", "/sys/kernel/btf", "tmpfs", 0, ""); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// onLostThread runs f on an OS thread that nothing else will run on.
func onLostThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		done <- f()
	}()
	return <-done
}
