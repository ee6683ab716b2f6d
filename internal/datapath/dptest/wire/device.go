package wire

import (
	"encoding/binary"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// Device is a TUN or TAP link whose other side is the test: the VM, or the VPN.
type Device struct {
	*os.File
	Header int // bytes of the virtio header before each frame

	mu     sync.Mutex
	frames []Packet
}

// OpenDevice makes a link in n. flags are those of TUNSETIFF.
func OpenDevice(t *testing.T, n *lab.Namespace, name string, flags uint16) *Device {
	t.Helper()
	var request struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = flags | unix.IFF_NO_PI
	fd := -1
	Must(t, n.Do(func() (err error) {
		// The link will be in the namespace where the file is opened.
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return errno
		}
		return nil
	}))
	d := &Device{}
	if flags&unix.IFF_VNET_HDR != 0 {
		d.Header = 10
		offloads := unix.TUN_F_CSUM | unix.TUN_F_TSO4
		Must(t, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads))
	}
	d.File = os.NewFile(uintptr(fd), name)
	var reader sync.WaitGroup
	reader.Go(func() { d.read(flags&unix.IFF_TAP != 0) })
	t.Cleanup(func() {
		d.Close()
		reader.Wait()
	})
	Must(t, n.SetUp(name))
	return d
}

func (d *Device) read(ethernet bool) {
	buf := make([]byte, 1<<17)
	for {
		n, err := d.Read(buf)
		if err != nil {
			return
		}
		p := decode(buf[d.Header:n], ethernet)
		p.Data = append([]byte(nil), buf[:n]...)
		d.mu.Lock()
		d.frames = append(d.frames, p)
		d.mu.Unlock()
	}
}

// Came returns the frames that have come out of the device and match.
func (d *Device) Came(match func(Packet) bool) []Packet {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.frames), func(p Packet) bool { return !match(p) })
}

// Await waits until a frame that matches has come out of the device.
func (d *Device) Await(t *testing.T, what string, match func(Packet) bool) Packet {
	t.Helper()
	var found []Packet
	Eventually(t, what, func() bool {
		found = d.Came(match)
		return len(found) > 0
	})
	return found[0]
}

// Virtio is struct virtio_net_hdr.
type Virtio struct {
	Flags, GSOType                                   uint8
	HeaderLength, GSOSize, ChecksumStart, ChecksumAt uint16
}

const (
	NeedsChecksum = 1
	GsoTCPv4      = 1
)

// Inject sends a frame into the device as the VM or VPN would.
func (d *Device) Inject(t *testing.T, header Virtio, frame []byte) {
	t.Helper()
	var b []byte
	if d.Header > 0 {
		var err error
		b, err = binary.Append(nil, binary.NativeEndian, header)
		Must(t, err)
	}
	n, err := d.Write(append(b, frame...))
	if err == nil && n != len(b)+len(frame) {
		err = io.ErrShortWrite
	}
	Must(t, err)
}
