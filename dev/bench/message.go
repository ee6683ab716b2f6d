package bench

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// newMessages makes a message of each buffer.
func newMessages(buffers [][]byte) []message {
	messages := make([]message, len(buffers))
	vectors := make([]unix.Iovec, len(buffers))
	for i, b := range buffers {
		vectors[i].Base = unsafe.SliceData(b)
		vectors[i].SetLen(len(b))
		messages[i].header.Iov = &vectors[i]
		messages[i].header.SetIovlen(1)
	}
	return messages
}

// sendMessages sends as many as the kernel takes without waiting, and returns
// how many that were. The raw call keeps Go's scheduler out of the figures.
func sendMessages(fd int, messages []message) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// receiveMessages waits for one message and takes what else is there.
func receiveMessages(fd int, messages []message) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), unix.MSG_WAITFORONE, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
