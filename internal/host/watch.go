package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchInterval is the shortest time between two ticks.
const watchInterval = 100 * time.Millisecond

// watchBuffer is how much the kernel keeps of announcements that were not taken
// yet, in bytes. To attach an endpoint makes some 30 KB; what finds it full is
// lost, and then everything has to be looked at.
const watchBuffer = 4 << 20

// watchGroups are the announcements that matter: IPV4_NETCONF tells when
// somebody turns a link's forwarding off (see AnchorLink), IPV4_RULE when somebody
// flushes the rules (see OwnRule).
var watchGroups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF,
}

// Watcher gathers what the kernel announces about links, IPv4 addresses, routes,
// rules, settings of links, and IPsec policies. It is safe for concurrent use.
type Watcher struct {
	file  *os.File
	raw   syscall.RawConn
	ipsec *ipsecWatch
	ticks chan struct{}

	mu      sync.Mutex
	buf     []byte
	changes Changes
}

// NewWatcher watches the calling thread's namespace from now on.
func NewWatcher() (*Watcher, error) {
	file, err := openNetlink(unix.NETLINK_ROUTE, watchGroups)
	if err != nil {
		return nil, fmt.Errorf("watch network changes: %w", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("watch network changes: %w", err)
	}
	ipsec, err := openIPsecWatch()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Watcher{file: file, raw: raw, ipsec: ipsec, ticks: make(chan struct{}, 1), buf: make([]byte, 1<<16)}, nil
}

// Close ends Run.
func (w *Watcher) Close() error { return errors.Join(w.file.Close(), w.ipsec.close()) }

// Run ticks, at once and then no oftener than each 100 ms, after something was
// announced, until ctx or the watcher ends. What happens while a tick waits to be
// received causes no second one.
func (w *Watcher) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Now()) })()
	defer w.ipsec.run(ctx, w.Tick)()
	for w.wait() == nil {
		w.Tick()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchInterval):
		}
	}
	return ctx.Err()
}

// Ticks returns the channel of the ticks.
func (w *Watcher) Ticks() <-chan struct{} { return w.ticks }

// Tick has a tick waiting, for changes that somebody took and did not deal with.
func (w *Watcher) Tick() {
	select {
	case w.ticks <- struct{}{}:
	default: // one is waiting
	}
}

// Take returns what was announced since it was called last. All that was done on
// the host before the call is in it: the kernel announces before it answers who
// has done it.
func (w *Watcher) Take() (Changes, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	controlErr := w.raw.Control(func(fd uintptr) { _, err = w.drain(int(fd)) })
	if err := errors.Join(controlErr, err); err != nil {
		return Changes{}, fmt.Errorf("watch network changes: %w", err)
	}
	changes := w.changes
	w.changes = Changes{}
	changes.IPsec = w.ipsec.take()
	return changes, nil
}

// wait returns when something was announced that nobody has taken.
func (w *Watcher) wait() error {
	var drainErr error
	err := w.raw.Read(func(fd uintptr) (changed bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		changed, drainErr = w.drain(int(fd))
		return changed || drainErr != nil
	})
	return errors.Join(err, drainErr)
}

// drain takes all announcements that there are. An overflow (ENOBUFS) is one that
// says nothing, and nothing has to be subscribed anew.
func (w *Watcher) drain(fd int) (changed bool, err error) {
	for {
		n, _, err := unix.Recvfrom(fd, w.buf, unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			changed = true
			w.changes.add(w.buf[:n])
		case errors.Is(err, unix.ENOBUFS):
			changed, w.changes.All = true, true
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return changed, nil
		default:
			return changed, err
		}
	}
}

// openNetlink opens a socket, in the calling thread's namespace, that hears what is
// announced to the groups.
func openNetlink(protocol int, groups []int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Without the right to it the buffer is smaller, and overflows sooner.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer)
	return os.NewFile(uintptr(fd), "netlink"), nil
}
