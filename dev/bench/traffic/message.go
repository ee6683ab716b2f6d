package traffic

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Message is the kernel's struct mmsghdr.
type Message struct {
	header unix.Msghdr
	length uint32
}

// NewMessages makes a message of each buffer.
func NewMessages(buffers [][]byte) []Message {
	messages := make([]Message, len(buffers))
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
func sendMessages(fd int, messages []Message) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// ReceiveMessages waits for one message and takes what else is there.
func ReceiveMessages(fd int, messages []Message) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), unix.MSG_WAITFORONE, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
