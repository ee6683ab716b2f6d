package lab

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// runDir is where iproute2 looks for named namespaces.
const runDir = "/run/netns"

// Namespace is a named network namespace. Its methods may be called from any
// goroutine until Close.
type Namespace struct {
	Name string // file name under /run/netns

	file   *os.File        // keeps the namespace alive and is what setns enters
	route  *netlink.Handle // rtnetlink socket inside
	cookie uint64          // SO_NETNS_COOKIE of sockets inside
}

var made atomic.Uint32 // namespaces made by this process

// NewNamespace makes a namespace named PREFIX-PID-COUNTER-RANDOM with its
// loopback up. Its IPv4 settings are those that the kernel was compiled with.
func NewNamespace(prefix string) (*Namespace, error) {
	name := fmt.Sprintf("%s-%d-%d-%s", prefix, os.Getpid(), made.Add(1), strings.ToLower(rand.Text()[:4]))
	n := &Namespace{Name: name}
	if err := n.create(); err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	if err := n.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open namespace %s: %w", name, err), n.Close())
	}
	if err := n.SetUp("lo"); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Path returns the file under /run/netns.
func (n *Namespace) Path() string { return filepath.Join(runDir, n.Name) }

// Close removes the namespace's name. The kernel frees it, and links in it,
// once no process or socket is left inside.
func (n *Namespace) Close() error {
	if n.route != nil {
		n.route.Close()
	}
	var closed error
	if n.file != nil {
		closed = n.file.Close()
	}
	unmounted := unix.Unmount(n.Path(), unix.MNT_DETACH)
	if errors.Is(unmounted, unix.EINVAL) { // was never mounted
		unmounted = nil
	}
	if err := errors.Join(closed, unmounted, os.Remove(n.Path())); err != nil {
		return fmt.Errorf("close namespace %s: %w", n.Name, err)
	}
	return nil
}

// create mounts a new namespace over a file in runDir, as `ip netns add` does.
func (n *Namespace) create() error {
	if err := shareRunDir(); err != nil {
		return err
	}
	f, err := os.OpenFile(n.Path(), os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	f.Close()
	err = onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := prepare(); err != nil {
			return err
		}
		return unix.Mount(threadNS, n.Path(), "", unix.MS_BIND, "")
	})
	if err != nil {
		return errors.Join(err, os.Remove(n.Path()))
	}
	return nil
}

func (n *Namespace) open() (err error) {
	if n.file, err = os.Open(n.Path()); err != nil {
		return err
	}
	if n.route, err = netlink.NewHandleAt(netns.NsHandle(n.file.Fd()), unix.NETLINK_ROUTE); err != nil {
		return err
	}
	return n.Do(func() error {
		n.cookie, err = currentCookie()
		return err
	})
}

// shareRunDir makes runDir a shared mount of its own under the same lock as
// iproute2, so that removing a name removes it in every mount namespace.
func shareRunDir() error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(runDir)
	if err != nil {
		return err
	}
	defer dir.Close() // drops the lock
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", runDir, err)
	}
	share := func() error { return unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err = share()
	if !errors.Is(err, unix.EINVAL) { // EINVAL: not a mount point yet
		return err
	}
	if err := unix.Mount(runDir, runDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", runDir, err)
	}
	return share()
}

// threadNS names the calling thread's namespace.
const threadNS = "/proc/thread-self/ns/net"

// onOwnThread runs fn on an OS thread that is put back into its namespace
// afterwards or, if that fails, thrown away by ending its goroutine locked.
// If fn ends its goroutine (t.FailNow), the caller's goroutine ends too.
func onOwnThread(fn func() error) error {
	var err error
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		home, openErr := os.Open(threadNS)
		if openErr != nil {
			err, returned = openErr, true
			return
		}
		defer func() {
			defer home.Close()
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = fn()
		returned = true
	}()
	<-done
	if !returned {
		runtime.Goexit()
	}
	return err
}
