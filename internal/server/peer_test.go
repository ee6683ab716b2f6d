package server

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel says who connects: seen with a thread that is another user, in
// two groups, for as long as it lives.
func TestPeerOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	t.Parallel()
	dir, err := os.MkdirTemp("", "hostnat-peer") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(filepath.Join(dir, "run", "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed := make(chan error, 1)
	go func() { dialed <- dialAs(l.Addr().String(), 65534, []uint32{65533, 4711}) }()
	if err := <-dialed; err != nil { // the backlog holds the connection
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := peerOf(c)
	if err != nil {
		t.Fatal(err)
	}
	if p.uid != 65534 || !slices.Contains(p.groups, 65533) || !slices.Contains(p.groups, 4711) {
		t.Errorf("got %+v", p)
	}
}

// dialAs connects from a thread with other credentials. The thread ends with
// the goroutine, as it is never unlocked.
func dialAs(path string, uid uintptr, groups []uint32) error {
	if err := becomeUser(uid, groups); err != nil {
		return err
	}
	_, err := net.Dial("unix", path)
	return err
}

// becomeUser gives the goroutine a thread of its own, with other credentials.
func becomeUser(uid uintptr, groups []uint32) error {
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return errno
	}
	return nil
}

func TestInGroup(t *testing.T) {
	t.Parallel()
	g, err := user.LookupGroup("root")
	if err != nil {
		t.Skip("there is no group root")
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		t.Fatal(err)
	}
	p := peer{uid: 1000, groups: []uint32{1000, uint32(id)}}
	if !p.inGroup("root") || p.inGroup("no such group") || (peer{uid: 1000}).inGroup("root") {
		t.Error("wrong")
	}
}
