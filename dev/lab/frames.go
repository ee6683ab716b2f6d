package lab

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SendFrames sends raw Ethernet frames out of a link of n, as they are: for
// what no honest sender would send.
func SendFrames(n *Namespace, link string, frames ...[]byte) error {
	fd, err := packetSocket(n, link, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, frame := range frames {
		if _, err := unix.Write(fd, frame); err != nil {
			return fmt.Errorf("send %d byte frame on %s in %s: %w", len(frame), link, n.Name, err)
		}
	}
	return nil
}

// packetSocket opens an AF_PACKET socket bound to a link. protocol is an
// EtherType in host byte order; 0 receives nothing.
func packetSocket(n *Namespace, link string, protocol uint16) (int, error) {
	attrs, err := n.Link(link)
	if err != nil {
		return -1, err
	}
	fd := -1
	err = n.Do(func() (err error) {
		// Protocol 0 until bound: else frames of other links would come in between.
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("packet socket in %s: %w", n.Name, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(protocol), Ifindex: attrs.Index}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind packet socket to %s in %s: %w", link, n.Name, err)
	}
	return fd, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
