package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Sum is the checksum field as the arithmetic gives it.
func (s Segment) Sum() uint16 {
	l4 := s.l4()
	l4[6], l4[7] = 0, 0
	return ^Checksum(s.Pseudo(len(l4)), l4)
}

// IPOptions are two NOPs, an empty timestamp option, and the end.
var IPOptions = []byte{1, 1, 68, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// Protocols are those with ports, or with a query identifier.
var Protocols = []model.Protocol{model.UDP, model.TCP, model.ICMP}

// Segment is a packet made by hand. For an ICMP echo request the source's port
// is the query identifier, for a reply the destination's.
type Segment struct {
	Protocol model.Protocol
	From, To netip.AddrPort
	Flags    byte // TCP
	Reply    bool // ICMP: an echo reply
	TTL      byte // 0: 64
	Fragment uint16
	ID       uint16
	Options  []byte // of the IP header, a multiple of 4 bytes
	Payload  []byte
}

// Flags of TCP.
const (
	Fin    = 0x01
	Syn    = 0x02
	Rst    = 0x04
	Ack    = 0x10
	SynAck = Syn | Ack
	FinAck = Fin | Ack
)

const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherVLAN = 0x8100
	EtherIPv6 = 0x86dd
)

func (s Segment) IP() []byte {
	l4 := s.l4()
	header := 20 + len(s.Options)
	b := make([]byte, header, header+len(l4))
	b[0] = 0x40 | byte(header/4)
	binary.BigEndian.PutUint16(b[2:], uint16(header+len(l4)))
	binary.BigEndian.PutUint16(b[4:], s.ID)
	binary.BigEndian.PutUint16(b[6:], s.Fragment)
	b[8], b[9] = 64, byte(s.Protocol)
	if s.TTL != 0 {
		b[8] = s.TTL
	}
	copy(b[12:], s.From.Addr().AsSlice())
	copy(b[16:], s.To.Addr().AsSlice())
	copy(b[20:], s.Options)
	binary.BigEndian.PutUint16(b[10:], ^Checksum(0, b))
	return append(b, l4...)
}

func (s Segment) l4() []byte {
	b, at := s.L4Header()
	b = append(b, s.Payload...)
	if s.Protocol == model.UDP {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	}
	if at >= 0 {
		binary.BigEndian.PutUint16(b[at:], ^Checksum(s.Pseudo(len(b)), b))
	}
	return b
}

// L4Header returns the header, and where its checksum is: -1 for none.
func (s Segment) L4Header() ([]byte, int) {
	ports := binary.BigEndian.AppendUint16(nil, s.From.Port())
	ports = binary.BigEndian.AppendUint16(ports, s.To.Port())
	switch s.Protocol {
	case model.TCP:
		b := append(ports, make([]byte, 16)...)
		b[12], b[13] = 5<<4, s.Flags
		b[14] = 0x10 // some window
		return b, 16
	case model.UDP:
		return append(ports, make([]byte, 4)...), 6
	case model.ICMP:
		b := make([]byte, 8)
		if !s.Reply {
			b[0] = 8
		}
		id := s.From.Port()
		if s.Reply {
			id = s.To.Port()
		}
		binary.BigEndian.PutUint16(b[4:], id)
		return b, 2
	}
	return nil, -1
}

// Pseudo is the sum of the pseudo-header.
func (s Segment) Pseudo(length int) uint16 {
	if s.Protocol == model.ICMP {
		return 0
	}
	b := append(s.From.Addr().AsSlice(), s.To.Addr().AsSlice()...)
	b = append(b, 0, byte(s.Protocol), byte(length>>8), byte(length))
	return Checksum(0, b)
}

// Checksum is the folded sum of RFC 1071, not inverted.
func Checksum(start uint16, b []byte) uint16 {
	total := uint32(start)
	for i, v := range b {
		if i%2 == 0 {
			total += uint32(v) << 8
		} else {
			total += uint32(v)
		}
		total = total>>16 + total&0xffff
	}
	return uint16(total>>16 + total&0xffff)
}

func Ethernet(from, to model.MAC, protocol uint16, payload []byte) []byte {
	b := append(Hardware(to), Hardware(from)...)
	b = binary.BigEndian.AppendUint16(b, protocol)
	return append(b, payload...)
}

// PacketSocket opens a socket that sends frames; the rig's own are closed at its
// end, by a cleanup that may not be a subtest's.
func PacketSocket(t *testing.T, n *lab.Namespace, link string) int {
	t.Helper()
	fd := -1
	Must(t, n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	Must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: int(Ifindex(t, n, link))}))
	return fd
}

// Unanswered is an address beyond the remote that nobody has: what is sent there
// arrives at the remote's link and is not answered.
func Unanswered(last byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, last}), port)
}

func Inside(i int, port uint16) netip.AddrPort { return netip.AddrPortFrom(EndpointAddress(i), port) }

// LengthOf sets the total length and makes the header's checksum right again.
func LengthOf(ip []byte, length int) []byte {
	binary.BigEndian.PutUint16(ip[2:], uint16(length))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^Checksum(0, ip[:20]))
	return ip
}

// Protocols that a NAT with ports cannot carry.
const (
	Igmp    = model.Protocol(2)
	Ipip    = model.Protocol(4)
	Dccp    = model.Protocol(33)
	Gre     = model.Protocol(47)
	Esp     = model.Protocol(50)
	Sctp    = model.Protocol(132)
	UdpLite = model.Protocol(136)
)
