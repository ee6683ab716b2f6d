package kernel

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// LastRefreshed is when either direction last kept the session alive: monotonic ns.
func (s *bpfSession) LastRefreshed() uint64 { return max(s.Refreshed, s.RefreshedIn) }

const dropVerdict = 2 // TCX_DROP: it did not work, try again

// AdoptSession lets a session take its NAT's settings as they are now, and sets
// its timer if it has none or one that is too late. One that is due ends; one
// that is gone already is no error.
func AdoptSession(o *Objects, key *SessionKey) error {
	verdict, err := o.AdoptSession.Run(&ebpf.RunOptions{Data: FrameOf(key)})
	if err != nil {
		return fmt.Errorf("changing session %v: %w", ToAddrPort(key.InternalAddress, key.InternalPort), err)
	}
	if verdict == dropVerdict {
		return model.Errorf(model.Unavailable, "the kernel has no memory for the clock of session %v",
			ToAddrPort(key.InternalAddress, key.InternalPort)).WithHint("free some memory")
	}
	return nil
}

// EndSession runs the data path's own end_session, which leaves the binding as
// an expiry would, and records the cause. A session that is gone already is no error.
func EndSession(o *Objects, key *SessionKey, cause EndCause) error {
	request := EndRequest{Key: *key, Cause: uint32(cause)}
	err := again(func() error {
		verdict, err := o.EndSession.Run(&ebpf.RunOptions{Data: FrameOf(&request)})
		if err == nil && verdict == dropVerdict {
			return unix.EBUSY
		}
		return err
	}, writePause)
	if err != nil {
		return fmt.Errorf("ending session %v: %w", ToAddrPort(key.InternalAddress, key.InternalPort), err)
	}
	return nil
}

// FrameOf is what a program for user space reads a value from: an Ethernet header's
// worth of bytes, and the value's own.
func FrameOf[T any](v *T) []byte {
	const ethernet = 14
	payload := unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
	return append(make([]byte, ethernet, ethernet+len(payload)), payload...)
}
