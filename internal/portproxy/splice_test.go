package portproxy

import (
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TCP data is not copied through user space: a relay that the kernel allows no
// call that would copy any relays as well.
func TestBulkIsSpliced(t *testing.T) {
	t.Parallel()
	listen := relayChild(t, "no copying", serve(t, "127.0.0.1:0", echo), os.Stdout)
	for _, size := range []int{1, 1000, 100_000, 32 << 20} {
		exchange(t, listen, size)
	}
}

// mayRead is what read, write and send may move at once, in bytes: event
// descriptors are read with 8, and nothing is sent to see if one could.
const mayRead = 16

// forbidCopying has the kernel refuse what would copy the data of a socket, to
// all threads of this process.
func forbidCopying(*Engine) error {
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
	for _, call := range []uint32{unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
		unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2} {
		code = append(code, other(call, 1), ret(refuse|uint32(unix.EPERM)))
	}
	for _, call := range []uint32{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_SENDTO} {
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
