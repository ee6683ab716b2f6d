package portproxy

import (
	"context"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/nat"
)

// relayOnly makes this program a relay from one address to another that may not
// copy: see TestBulkIsSpliced.
const relayOnly = "HOSTNAT_TEST_RELAY"

// TCP data is not copied through user space: a relay that the kernel allows no
// call that would copy any relays as well.
func TestBulkIsSpliced(t *testing.T) {
	t.Parallel()
	server := serve(t, "127.0.0.1:0", echo)
	listen := freePort(t, nat.TCP, "127.0.0.1:0")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, err := os.StartProcess(self, []string{self, listen, server}, &os.ProcAttr{
		Env: append(os.Environ(), relayOnly+"=1"), Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Kill()
		_, _ = child.Wait()
	})
	eventually(t, func() bool {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	for _, size := range []int{1, 1000, 100_000, 32 << 20} {
		exchange(t, listen, size)
	}
}

// relayWithoutCopying is the child process of TestBulkIsSpliced.
func relayWithoutCopying(listen, server string) error {
	p := nat.Proxy{ID: 1, Kind: nat.V4ToV4, Protocol: nat.TCP}
	if err := p.Listen.UnmarshalText([]byte(listen)); err != nil {
		return err
	}
	if err := p.Connect.UnmarshalText([]byte(server)); err != nil {
		return err
	}
	e := New(Options{Loops: 2})
	e.Apply(nat.Config{Proxies: []nat.Proxy{p}})
	if err := forbidCopying(); err != nil {
		return err
	}
	return e.Run(context.Background())
}

// mayRead is what read and write may move at once, in bytes: event descriptors
// are read with 8.
const mayRead = 16

// forbidCopying has the kernel refuse what would copy the data of a socket, to
// all threads of this process.
func forbidCopying() error {
	const (
		number  = 0          // struct seccomp_data: nr
		count   = 16 + 2*8   // args[2], its lower half (both architectures that are built for)
		allow   = 0x7fff0000 // SECCOMP_RET_ALLOW
		refuse  = 0x00050000 // SECCOMP_RET_ERRNO
		setMode = 1          // SECCOMP_SET_MODE_FILTER
		allOfUs = 1          // SECCOMP_FILTER_FLAG_TSYNC
	)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	ret := func(v uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v} }
	// Each pair: if it is not this call, go on behind the pair.
	other := func(call, skip uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(skip), K: call}
	}
	code := []unix.SockFilter{load(number)}
	for _, call := range []uint32{unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG, unix.SYS_SENDTO, unix.SYS_SENDMSG,
		unix.SYS_SENDMMSG, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2} {
		code = append(code, other(call, 1), ret(refuse|uint32(unix.EPERM)))
	}
	for _, call := range []uint32{unix.SYS_READ, unix.SYS_WRITE} {
		code = append(code, other(call, 4), load(count),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, Jf: 1, K: mayRead}, ret(refuse|uint32(unix.EPERM)), ret(allow))
	}
	code = append(code, ret(allow))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setMode, allOfUs, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return errno
	}
	return nil
}
