package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ipsecGroups are XFRMNLGRP_EXPIRE and XFRMNLGRP_POLICY: a policy may end by itself.
var ipsecGroups = []int{2, 4}

// ipsecWatch hears that IPsec policies have changed. Nil is one on a kernel without
// IPsec, where none do.
type ipsecWatch struct {
	file *os.File
	raw  syscall.RawConn
	lost atomic.Bool // too much was announced
}

func openIPsecWatch() (*ipsecWatch, error) {
	file, err := openNetlink(unix.NETLINK_XFRM, ipsecGroups)
	if hasNoIPsec(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("watch IPsec policies: %w", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("watch IPsec policies: %w", err)
	}
	return &ipsecWatch{file: file, raw: raw}, nil
}

func (w *ipsecWatch) close() error {
	if w == nil {
		return nil
	}
	return w.file.Close()
}

// take reports whether anything was announced since it was called last.
func (w *ipsecWatch) take() (changed bool) {
	if w == nil {
		return false
	}
	changed = w.lost.Swap(false)
	err := w.raw.Control(func(fd uintptr) {
		for {
			_, _, err := unix.Recvfrom(int(fd), nil, unix.MSG_DONTWAIT) // what it says does not matter
			if errors.Is(err, unix.EAGAIN) {
				return
			}
			changed = true
			if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	})
	return changed && err == nil
}

// run calls tick whenever something was announced that take has not told of yet,
// until ctx or the watch ends, or the function that it returns is called.
func (w *ipsecWatch) run(ctx context.Context, tick func()) (stop func()) {
	if w == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	unblock := context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Now()) })
	var done sync.WaitGroup
	done.Go(func() {
		for w.wait() == nil && ctx.Err() == nil {
			tick()
			select { // whoever was told takes it meanwhile
			case <-ctx.Done():
			case <-time.After(watchInterval):
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		unblock()
	}
}

// wait returns when there is something to take.
func (w *ipsecWatch) wait() error {
	return w.raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), nil, unix.MSG_DONTWAIT|unix.MSG_PEEK)
		if errors.Is(err, unix.ENOBUFS) {
			w.lost.Store(true)
		}
		return !errors.Is(err, unix.EAGAIN)
	})
}
