package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is the kernel's struct ethtool_value.
type ethtoolValue struct {
	cmd, data uint32
}

// ethtoolRequest is struct ifreq with its union's data pointer.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// offloads in an order that works both ways: TSO needs scatter-gather, which
// needs checksums.
var offloads = []struct {
	name string
	cmd  uint32
}{
	{"tx", unix.ETHTOOL_STXCSUM},
	{"sg", unix.ETHTOOL_SSG},
	{"tso", unix.ETHTOOL_STSO},
	{"gso", unix.ETHTOOL_SGSO},
	{"gro", unix.ETHTOOL_SGRO},
}

// SetOffloads turns checksum, scatter-gather and segmentation offload (tx, sg,
// tso, gso, gro) of a link on or off. Off means that each packet on the link is
// one MTU long at most and has complete checksums.
func (n *Namespace) SetOffloads(link string, on bool) error {
	return n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, o := range offloads {
			if err := setOffload(fd, link, o.cmd, on); err != nil {
				return fmt.Errorf("set %s of %s in %s: %w", o.name, link, n.Name, err)
			}
		}
		return nil
	})
}

func setOffload(fd int, link string, cmd uint32, on bool) error {
	value := &ethtoolValue{cmd: cmd}
	if on {
		value.data = 1
	}
	req := ethtoolRequest{data: unsafe.Pointer(value)}
	if len(link) >= len(req.name) {
		return unix.ENAMETOOLONG
	}
	copy(req.name[:], link)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
