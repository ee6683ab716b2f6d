package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchInterval is the shortest time between two ticks.
const watchInterval = 100 * time.Millisecond

// watchGroups are the announcements that matter: IPV4_NETCONF tells when
// somebody turns a link's forwarding off (see AnchorLink), IPV4_RULE when somebody
// flushes the rules (see SetTransparentRoute).
var watchGroups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF,
}

// Watch ticks after links, IPv4 addresses, routes or settings of links changed,
// at once and then no oftener than each 100 ms. A change that happens while a
// tick waits to be received causes no second one. The channel is closed when
// ctx ends.
func Watch(ctx context.Context) (<-chan struct{}, error) {
	socket, err := openWatch()
	if err != nil {
		return nil, fmt.Errorf("watch network changes: %w", err)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("watch network changes: %w", err)
	}
	ticks := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	go func() {
		defer close(ticks)
		defer socket.Close()
		defer stop()
		watch(ctx, raw, ticks)
	}()
	return ticks, nil
}

func watch(ctx context.Context, raw syscall.RawConn, ticks chan<- struct{}) {
	for waitForChange(raw) == nil {
		select {
		case ticks <- struct{}{}:
		default: // one is waiting
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchInterval):
		}
	}
}

// waitForChange waits for announcements and takes all there are. What they say
// does not matter, so that an overflow (ENOBUFS) is an announcement like
// another and nothing has to be subscribed anew.
func waitForChange(raw syscall.RawConn) error {
	buf := make([]byte, 1<<16)
	var recvErr error
	err := raw.Read(func(fd uintptr) bool {
		changed := false
		for {
			_, _, recvErr = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			switch {
			case recvErr == nil, errors.Is(recvErr, unix.ENOBUFS):
				changed = true
			case errors.Is(recvErr, unix.EINTR):
			case errors.Is(recvErr, unix.EAGAIN):
				recvErr = nil
				return changed
			default:
				return true
			}
		}
	})
	return errors.Join(err, recvErr)
}

// openWatch opens the socket in the calling thread's namespace.
func openWatch() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range watchGroups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}
