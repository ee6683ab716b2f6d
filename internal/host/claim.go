package host

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
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
// *nat.Error names the process.
func ClaimHost() (*Claim, error) {
	address := &net.UnixAddr{Name: claimName, Net: "unix"}
	l, err := net.ListenUnix("unix", address)
	if errors.Is(err, unix.EADDRINUSE) {
		peer, known := holder(address)
		if known && peer.Uid != 0 {
			return &Claim{}, nil // no daemon, and nobody who could stop one
		}
		return nil, nat.Errorf(nat.Conflict, "another hostnat daemon%s manages this host's network", pidOf(peer, known)).
			WithHint("use that one, or end it first")
	}
	if err != nil {
		return nil, fmt.Errorf("claim the host's network: %w", err)
	}
	return &Claim{listener: l}, nil
}

// Release gives the claim back.
func (c *Claim) Release() {
	if c.listener != nil {
		_ = c.listener.Close()
	}
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
