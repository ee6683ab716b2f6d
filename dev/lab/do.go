package lab

import (
	"context"
	"fmt"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Do runs fn on an OS thread inside n, entered by setns alone: mounts stay as
// they are. Sockets and netlink handles that fn makes stay in n. Goroutines
// that fn starts are not inside.
func (n *Namespace) Do(fn func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.Name, err)
		}
		return fn()
	})
}

// Command prepares a program that runs inside n, with the caller's mounts
// (`ip netns exec` would hide bpffs). The process id is the program's own.
func (n *Namespace) Command(ctx context.Context, argv ...string) *exec.Cmd {
	args := append([]string{"--net=" + n.Path(), "--"}, argv...)
	return exec.CommandContext(ctx, "nsenter", args...)
}

// Cookie is the kernel's never reused number of the namespace.
func (n *Namespace) Cookie() uint64 { return n.cookie }

// currentCookie asks a throw-away socket of the calling thread.
func currentCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
}
