package datapath

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// segment is a packet made by hand. For an ICMP echo request the source's port
// is the query identifier, for a reply the destination's.
type segment struct {
	protocol model.Protocol
	from, to netip.AddrPort
	flags    byte // TCP
	reply    bool // ICMP: an echo reply
	ttl      byte // 0: 64
	fragment uint16
	id       uint16
	options  []byte // of the IP header, a multiple of 4 bytes
	payload  []byte
}

// Flags of TCP.
const (
	fin    = 0x01
	syn    = 0x02
	rst    = 0x04
	ack    = 0x10
	synAck = syn | ack
	finAck = fin | ack
)

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherVLAN = 0x8100
	etherIPv6 = 0x86dd
)

func (s segment) ip() []byte {
	l4 := s.l4()
	header := 20 + len(s.options)
	b := make([]byte, header, header+len(l4))
	b[0] = 0x40 | byte(header/4)
	binary.BigEndian.PutUint16(b[2:], uint16(header+len(l4)))
	binary.BigEndian.PutUint16(b[4:], s.id)
	binary.BigEndian.PutUint16(b[6:], s.fragment)
	b[8], b[9] = 64, byte(s.protocol)
	if s.ttl != 0 {
		b[8] = s.ttl
	}
	copy(b[12:], s.from.Addr().AsSlice())
	copy(b[16:], s.to.Addr().AsSlice())
	copy(b[20:], s.options)
	binary.BigEndian.PutUint16(b[10:], ^checksum(0, b))
	return append(b, l4...)
}

func (s segment) l4() []byte {
	b, at := s.l4Header()
	b = append(b, s.payload...)
	if s.protocol == model.UDP {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	}
	if at >= 0 {
		binary.BigEndian.PutUint16(b[at:], ^checksum(s.pseudo(len(b)), b))
	}
	return b
}

// l4Header returns the header, and where its checksum is: -1 for none.
func (s segment) l4Header() ([]byte, int) {
	ports := binary.BigEndian.AppendUint16(nil, s.from.Port())
	ports = binary.BigEndian.AppendUint16(ports, s.to.Port())
	switch s.protocol {
	case model.TCP:
		b := append(ports, make([]byte, 16)...)
		b[12], b[13] = 5<<4, s.flags
		b[14] = 0x10 // some window
		return b, 16
	case model.UDP:
		return append(ports, make([]byte, 4)...), 6
	case model.ICMP:
		b := make([]byte, 8)
		if !s.reply {
			b[0] = 8
		}
		id := s.from.Port()
		if s.reply {
			id = s.to.Port()
		}
		binary.BigEndian.PutUint16(b[4:], id)
		return b, 2
	}
	return nil, -1
}

// pseudo is the sum of the pseudo-header.
func (s segment) pseudo(length int) uint16 {
	if s.protocol == model.ICMP {
		return 0
	}
	b := append(s.from.Addr().AsSlice(), s.to.Addr().AsSlice()...)
	b = append(b, 0, byte(s.protocol), byte(length>>8), byte(length))
	return checksum(0, b)
}

// checksum is the folded sum of RFC 1071, not inverted.
func checksum(start uint16, b []byte) uint16 {
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

func ethernet(from, to model.MAC, protocol uint16, payload []byte) []byte {
	b := append(hardware(to), hardware(from)...)
	b = binary.BigEndian.AppendUint16(b, protocol)
	return append(b, payload...)
}

// fromEndpoint sends packets out of endpoint i to its gateway, past its own
// IP stack.
func (r *rig) fromEndpoint(t *testing.T, i int, segments ...segment) {
	t.Helper()
	frames := make([][]byte, len(segments))
	for j, s := range segments {
		frames[j] = ethernet(endpointMAC(i), gatewayMAC, etherIPv4, s.ip())
	}
	r.send(t, r.Endpoints[i], "eth0", frames...)
}

// fromRemote sends packets from the remote's link to the host.
func (r *rig) fromRemote(t *testing.T, segments ...segment) {
	t.Helper()
	frames := make([][]byte, len(segments))
	for j, s := range segments {
		frames[j] = ethernet(r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink), etherIPv4, s.ip())
	}
	r.send(t, r.Remote, lab.RemoteLink, frames...)
}

// send is lab.SendFrames with a socket that is kept: to close one takes the
// kernel milliseconds.
func (r *rig) send(t *testing.T, n *lab.Namespace, link string, frames ...[]byte) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	place := n.Name + "/" + link
	fd, has := r.senders[place]
	if !has {
		fd = packetSocket(t, n, link)
		r.senders[place] = fd
	}
	for _, f := range frames {
		if _, err := unix.Write(fd, f); err != nil {
			t.Fatalf("sending %d bytes on %s: %v", len(f), place, err)
		}
	}
}

// packetSocket opens a socket that sends frames; the rig's own are closed at its
// end, by a cleanup that may not be a subtest's.
func packetSocket(t *testing.T, n *lab.Namespace, link string) int {
	t.Helper()
	fd := -1
	must(t, n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: int(ifindex(t, n, link))}))
	return fd
}

// macOf asks for a link's address once.
func (r *rig) macOf(t *testing.T, n *lab.Namespace, link string) model.MAC {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	place := n.Name + "/" + link
	if _, known := r.macs[place]; !known {
		attrs, err := n.Link(link)
		must(t, err)
		r.macs[place] = model.MAC(attrs.HardwareAddr.String())
	}
	return r.macs[place]
}

// mute takes endpoint i's address away, so that its IP stack answers nothing
// and the test alone speaks for it.
func (r *rig) mute(t *testing.T, i int) {
	t.Helper()
	must(t, r.Endpoints[i].DeleteAddress("eth0", endpointAddress(i).String()+"/24"))
}

// stranger is an address beyond the remote that nobody has: what is sent there
// arrives at the remote's link and is not answered.
func stranger(last byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, last}), port)
}

func inside(i int, port uint16) netip.AddrPort { return netip.AddrPortFrom(endpointAddress(i), port) }
