package datapath

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

// device is a TUN or TAP link whose other side is the test: the VM, or the VPN.
type device struct {
	*os.File
	header int // bytes of the virtio header before each frame

	mu     sync.Mutex
	frames []packet
}

// openDevice makes a link in n. flags are those of TUNSETIFF.
func openDevice(t *testing.T, n *lab.Namespace, name string, flags uint16) *device {
	t.Helper()
	var request struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = flags | unix.IFF_NO_PI
	fd := -1
	must(t, n.Do(func() (err error) {
		// The link will be in the namespace where the file is opened.
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return errno
		}
		return nil
	}))
	d := &device{}
	if flags&unix.IFF_VNET_HDR != 0 {
		d.header = 10
		offloads := unix.TUN_F_CSUM | unix.TUN_F_TSO4
		must(t, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads))
	}
	d.File = os.NewFile(uintptr(fd), name)
	var reader sync.WaitGroup
	reader.Go(func() { d.read(flags&unix.IFF_TAP != 0) })
	t.Cleanup(func() {
		d.Close()
		reader.Wait()
	})
	must(t, n.SetUp(name))
	return d
}

func (d *device) read(ethernet bool) {
	buf := make([]byte, 1<<17)
	for {
		n, err := d.Read(buf)
		if err != nil {
			return
		}
		p := decode(buf[d.header:n], ethernet)
		p.data = append([]byte(nil), buf[:n]...)
		d.mu.Lock()
		d.frames = append(d.frames, p)
		d.mu.Unlock()
	}
}

// came returns the frames that have come out of the device and match.
func (d *device) came(match func(packet) bool) []packet {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.frames), func(p packet) bool { return !match(p) })
}

// await waits until a frame that matches has come out of the device.
func (d *device) await(t *testing.T, what string, match func(packet) bool) packet {
	t.Helper()
	var found []packet
	eventually(t, what, func() bool {
		found = d.came(match)
		return len(found) > 0
	})
	return found[0]
}

// virtio is struct virtio_net_hdr.
type virtio struct {
	Flags, GSOType                                   uint8
	HeaderLength, GSOSize, ChecksumStart, ChecksumAt uint16
}

const (
	needsChecksum = 1
	gsoTCPv4      = 1
)

// inject sends a frame into the device as the VM or VPN would.
func (d *device) inject(t *testing.T, header virtio, frame []byte) {
	t.Helper()
	var b []byte
	if d.header > 0 {
		var err error
		b, err = binary.Append(nil, binary.NativeEndian, header)
		must(t, err)
	}
	n, err := d.Write(append(b, frame...))
	if err == nil && n != len(b)+len(frame) {
		err = io.ErrShortWrite
	}
	must(t, err)
}
