// Package self is about the daemon's own process: its claim on this host's network,
// its rights, how much memory it may take, and its bpf filesystem.
package self

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"golang.org/x/sys/unix"
)

// claimName is an abstract socket's: it belongs to the network namespace, not
// to a directory, and ends with the process that has it.
const claimName = "@hostnat"

// Claim is the right to change this host's network.
type Claim struct{ listener *net.UnixListener } // nil: a user without rights sits on the name

// ClaimHost makes the caller the only one who changes this host's network until
// it releases the claim or ends. Two daemons would take each other's links for
// leftovers, whatever directories they use. If somebody else has the claim, the
// *model.Error names the process. One that is ending is waited for.
func ClaimHost() (*Claim, error) {
	address := &net.UnixAddr{Name: claimName, Net: "unix"}
	for begin := time.Now(); ; time.Sleep(dyingPoll) {
		l, err := net.ListenUnix("unix", address)
		if err == nil {
			return &Claim{listener: l}, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("claim the host's network: %w", err)
		}
		peer, known := holder(address)
		if known && peer.Uid != 0 {
			return &Claim{}, nil // no daemon, and nobody who could stop one
		}
		if !known && time.Since(begin) < time.Second {
			continue // it has just gone, perhaps
		}
		if !known || !isEnding(peer.Pid) || time.Since(begin) > dyingPatience {
			return nil, model.Errorf(model.Conflict, "another hostnat daemon%s manages this host's network", pidOf(peer, known)).
				WithHint("use that one, or end it first")
		}
	}
}

// A daemon that was killed has its sockets for a while yet: the kernel closes a
// thousand packet sockets one after the other. Who starts the next one at once, as
// systemd does, need not try again.
const (
	dyingPoll     = 20 * time.Millisecond
	dyingPatience = 30 * time.Second
)

// isEnding reports whether a process has been killed, or has ended but for some of
// its threads: state Z, or PF_EXITING (proc_pid_stat(5), fields 3 and 9).
func isEnding(pid int32) bool {
	const exiting = 0x4
	fields, err := ProcessFields(int(pid))
	if err != nil {
		return true
	}
	if len(fields) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return fields[0] == "Z" || err == nil && flags&exiting != 0
}

// ProcessFields are those of /proc/PID/stat from the third on.
func ProcessFields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	name := strings.LastIndex(string(text), ") ") // which may have anything in it
	if name < 0 {
		return nil, fmt.Errorf("process %d: %q", pid, text)
	}
	return strings.Fields(string(text[name+2:])), nil
}

// Release gives the claim back.
func (c *Claim) Release() {
	if c.listener == nil {
		return
	}
	// A process that is being started has a copy of each descriptor until it runs its
	// program, and so has the claim's name for a moment more. Nobody answers there:
	// who claims then waits, as for a daemon that has just gone.
	if raw, err := c.listener.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
	_ = c.listener.Close()
}

func pidOf(peer unix.Ucred, known bool) string {
	if !known {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", peer.Pid)
}

// holder tells who listens there, if that can be told.
func holder(address *net.UnixAddr) (peer unix.Ucred, known bool) {
	// Nobody accepts; more than the backlog of those who ask would block.
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.Dial(address.Net, address.Name)
	if err != nil {
		return unix.Ucred{}, false
	}
	defer conn.Close()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return unix.Ucred{}, false
	}
	err = raw.Control(func(fd uintptr) {
		if ucred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			peer, known = *ucred, true
		}
	})
	return peer, known && err == nil
}
