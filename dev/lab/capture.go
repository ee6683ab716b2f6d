package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Packet is one captured frame.
type Packet struct {
	Time     time.Time // when the kernel saw it
	Data     []byte    // from the Ethernet header on (from the IP header on links without one)
	Outgoing bool      // sent by the link's namespace, not received
	Pending  bool      // its L4 checksum is left to the device: only the pseudo header is summed
}

// Tap is a running capture. It slows traffic down; keep it off benchmarks.
type Tap struct {
	packets chan Packet
	stop    chan struct{}
	reader  sync.WaitGroup
	file    *os.File
	raw     syscall.RawConn
	ether   bool
}

// Capture starts to capture both directions of a link of n.
func Capture(n *Namespace, link string) (*Tap, error) {
	return CaptureProtocol(n, link, unix.ETH_P_ALL)
}

// CaptureProtocol captures what comes in on a link with one EtherType, as the
// protocol itself gets it: behind the link's programs, and not what they drop.
func CaptureProtocol(n *Namespace, link string, protocol uint16) (*Tap, error) {
	attrs, err := n.Link(link)
	if err != nil {
		return nil, err
	}
	fd, err := packetSocket(n, link, protocol)
	if err != nil {
		return nil, err
	}
	t := &Tap{
		packets: make(chan Packet, 4096),
		stop:    make(chan struct{}),
		ether:   attrs.EncapType == "ether" || attrs.EncapType == "loopback",
	}
	if err := t.open(fd, link); err != nil {
		return nil, fmt.Errorf("capture on %s in %s: %w", link, n.Name, err)
	}
	t.reader.Go(t.read)
	return t, nil
}

// Packets delivers what is captured; it is closed after Close.
func (t *Tap) Packets() <-chan Packet { return t.packets }

// Close ends the capture.
func (t *Tap) Close() error {
	close(t.stop)
	err := t.file.Close()
	t.reader.Wait()
	return err
}

// Dropped is how many frames the kernel could not hand over since last asked.
func (t *Tap) Dropped() (uint32, error) {
	var stats *unix.TpacketStats
	var statsErr error
	err := t.raw.Control(func(fd uintptr) {
		stats, statsErr = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	if err := errors.Join(err, statsErr); err != nil {
		return 0, fmt.Errorf("capture statistics: %w", err)
	}
	return stats.Drops, nil
}

// Verify checks a packet of this capture, see VerifyChecksums.
func (t *Tap) Verify(p Packet) error {
	if !t.ether {
		return verifyIPv4(p.Data, p.Pending)
	}
	return VerifyChecksums(p)
}

const receiveBuffer = 32 << 20 // bytes: a burst of 64 KB packets

func (t *Tap) open(fd int, name string) error {
	err := errors.Join(
		unix.SetNonblock(fd, true),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
	)
	if err != nil {
		unix.Close(fd)
		return err
	}
	t.file = os.NewFile(uintptr(fd), "capture on "+name)
	t.raw, err = t.file.SyscallConn()
	if err != nil {
		t.file.Close()
	}
	return err
}

func (t *Tap) read() {
	defer close(t.packets)
	data := make([]byte, 1<<19) // BIG TCP packets are longer than 64 KB
	control := make([]byte, 256)
	for {
		p, err := t.receive(data, control)
		if errors.Is(err, unix.ENETDOWN) { // the link went down; it may come back
			continue
		}
		if err != nil {
			return
		}
		select {
		case t.packets <- p:
		case <-t.stop:
			return
		}
	}
}

func (t *Tap) receive(data, control []byte) (Packet, error) {
	var size, controlSize int
	var from unix.Sockaddr
	var recvErr error
	err := t.raw.Read(func(fd uintptr) bool {
		size, controlSize, _, from, recvErr = unix.Recvmsg(int(fd), data, control, 0)
		return !errors.Is(recvErr, unix.EAGAIN)
	})
	if err := errors.Join(err, recvErr); err != nil {
		return Packet{}, err
	}
	p := Packet{Data: append([]byte(nil), data[:size]...)}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		p.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
	}
	return p, p.readControl(control[:controlSize])
}

// readControl takes the time and the checksum state out of control messages.
func (p *Packet) readControl(control []byte) error {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return fmt.Errorf("parse control messages: %w", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})):
			ts := *(*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			p.Time = time.Unix(ts.Unix())
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4:
			// The first word of struct tpacket_auxdata is tp_status.
			p.Pending = binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY != 0
		}
	}
	return nil
}
