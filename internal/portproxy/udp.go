package portproxy

import (
	"container/list"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sessionTime is how long a client's session lives without a datagram, and
	// unansweredTime one that the server has not answered.
	sessionTime    = 2 * time.Minute
	unansweredTime = 30 * time.Second
	// datagramsAtOnce is how many datagrams are moved before others get a turn.
	datagramsAtOnce = 64
)

// udpListener is a UDP socket on which clients send. One loop has it.
type udpListener struct {
	rule    *rule
	fd      int
	slot    int32
	offset  int
	clients clients
}

// client is who sends, and to which of the host's addresses.
type client struct {
	from netip.AddrPort
	at   netip.Addr
}

// session is a client's way to a server: a connected socket, which hears of
// ICMP errors and takes datagrams from that server alone.
type session struct {
	listener *udpListener
	client   client
	sockaddr unix.Sockaddr // of the client
	source   []byte        // ancillary data: from which address the client is answered
	fd       int
	slot     int32
	last     time.Time
	trust    trust
	line     *list.Element // among the clients of its trust
}

// udpSocket opens a socket that tells to which address a datagram was sent.
func udpSocket(at netip.AddrPort) (fd int, err error) {
	fd, err = unix.Socket(family(at.Addr()), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = onlyOwnFamily(fd, at.Addr()); err == nil {
		if at.Addr().Is4() {
			err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(at))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// serveUDP has the loop serve a UDP socket.
func (l *loop) serveUDP(u *udpListener) (err error) {
	u.clients = newClients()
	if u.slot, err = l.add(u.fd, u, unix.EPOLLIN); err == nil {
		l.sessions[u] = struct{}{}
	}
	return err
}

// endUDP ends the sessions and serves the socket no more.
func (l *loop) endUDP(u *udpListener) {
	for _, s := range u.clients.sessions {
		s.end(l)
	}
	delete(l.sessions, u)
	if u.slot >= 0 {
		l.remove(u.fd, u.slot)
		u.slot = -1
	}
}

// ready takes clients' datagrams.
func (u *udpListener) ready(l *loop, _ uint32) {
	now := time.Now()
	for range datagramsAtOnce {
		n, oobn, _, from, err := unix.Recvmsg(u.fd, l.buffer, l.control, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			continue // an ICMP error about an answer, say: the client is gone
		}
		s, err := u.session(l, from, l.control[:oobn])
		if err != nil {
			u.rule.stats.fail(err)
		}
		if s == nil {
			continue
		}
		s.last = now
		u.clients.spoke(s)
		u.send(s, l.buffer[:n])
	}
}

func (u *udpListener) send(s *session, datagram []byte) {
	err := unix.Send(s.fd, datagram, unix.MSG_DONTWAIT)
	if err == unix.ECONNREFUSED { // about one before; this one was not sent
		u.refused(err)
		err = unix.Send(s.fd, datagram, unix.MSG_DONTWAIT)
	}
	switch err {
	case nil:
		u.rule.stats.in.Add(uint64(len(datagram)))
	case unix.EAGAIN, unix.ENOBUFS: // lost, as on a full link
	default:
		u.refused(err)
	}
}

func (u *udpListener) refused(err error) {
	u.rule.failed(u.rule.proxy.Connect)
	u.rule.stats.fail(fmt.Errorf("send to %s: %w", u.rule.proxy.Connect, err))
}

// session finds the client's session, or opens one. Nil: there is no place for it.
func (u *udpListener) session(l *loop, from unix.Sockaddr, control []byte) (*session, error) {
	c := client{from: addrPort(from)}
	c.at = destination(control)
	if s := u.clients.sessions[c]; s != nil {
		return s, nil
	}
	if !u.makePlace(l, c.from.Addr()) {
		u.rule.stats.refuse()
		return nil, fmt.Errorf("%s is refused: there are %d clients already", c.from, len(u.clients.sessions))
	}
	s := &session{listener: u, client: c, sockaddr: from, source: sourceControl(c.at)}
	if err := s.connect(l); err != nil {
		l.places.leave(u.rule, c.from.Addr())
		return nil, err
	}
	u.clients.add(s)
	u.rule.stats.begin()
	return s, nil
}

// makePlace finds a place for a new client's session, by ending another one if need be.
func (u *udpListener) makePlace(l *loop, address netip.Addr) bool {
	if s, full := u.clients.inTheWay(clientOf(address)); full && !u.giveWay(l, s) {
		return false
	}
	return l.places.take(u.rule, address) ||
		u.giveWay(l, u.clients.leastTrusted()) && l.places.take(u.rule, address)
}

// giveWay ends a session for another one, if there is one that may.
func (u *udpListener) giveWay(l *loop, s *session) bool {
	if s == nil {
		return false
	}
	u.rule.stats.gaveWay.Add(1)
	s.end(l)
	return true
}

func (s *session) connect(l *loop) error {
	u := s.listener
	target := u.rule.proxy.Connect
	servers, err := u.rule.servers(target)
	if err != nil {
		return err
	}
	for _, to := range servers {
		if err = s.connectTo(l, to, target.Port(u.offset)); err == nil {
			return nil
		}
	}
	u.rule.failed(target)
	return fmt.Errorf("connect to %s: %w", target, err)
}

func (s *session) connectTo(l *loop, to server, port uint16) error {
	fd, err := unix.Socket(family(to.address), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if to.device != "" {
		err = unix.BindToDevice(fd, to.device)
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(netip.AddrPortFrom(to.address, port)))
	}
	if err == nil {
		s.slot, err = l.add(fd, s, unix.EPOLLIN)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	s.fd = fd
	return nil
}

// ready takes the server's datagrams.
func (s *session) ready(l *loop, _ uint32) {
	u := s.listener
	s.last = time.Now()
	for range datagramsAtOnce {
		n, _, err := unix.Recvfrom(s.fd, l.buffer, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EINTR:
			continue
		case err != nil:
			// ICMP says that nobody is there. The session ends, so that the next
			// datagram looks for the server anew.
			u.refused(err)
			s.end(l)
			return
		}
		u.clients.answered(s)
		if _, err := unix.SendmsgN(u.fd, l.buffer[:n], s.source, s.sockaddr, unix.MSG_DONTWAIT); err == nil {
			u.rule.stats.out.Add(uint64(n))
		}
	}
}

func (s *session) end(l *loop) {
	if s.fd < 0 {
		return
	}
	l.closeSocket(s.fd, s.slot)
	s.fd = -1
	u := s.listener
	u.clients.remove(s)
	l.places.leave(u.rule, s.client.from.Addr())
	u.rule.stats.end()
}

// expire ends the sessions that have been silent.
func (u *udpListener) expire(l *loop) {
	for _, s := range u.clients.sessions {
		if l.now.Sub(s.last) > s.trust.lasts() {
			s.end(l)
		}
	}
}

// destination reads from ancillary data to which address a datagram was sent.
func destination(control []byte) netip.Addr {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[8:12])) // struct in_pktinfo: ipi_addr
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(m.Data[:16]))
		}
	}
	return netip.Addr{}
}

// sourceControl is the ancillary data that has a datagram sent from an address.
// A group's or everybody's cannot be: the kernel then chooses.
func sourceControl(a netip.Addr) []byte {
	switch {
	case !a.IsValid() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return nil
	case a.Is4():
		data := make([]byte, unix.SizeofInet4Pktinfo) // struct in_pktinfo: ipi_spec_dst
		four := a.As4()
		copy(data[4:], four[:])
		return controlMessage(unix.SOL_IP, unix.IP_PKTINFO, data)
	}
	data := make([]byte, unix.SizeofInet6Pktinfo)
	sixteen := a.As16()
	copy(data, sixteen[:])
	return controlMessage(unix.SOL_IPV6, unix.IPV6_PKTINFO, data)
}

// controlMessage is a struct cmsghdr and its data.
func controlMessage(level, kind int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	size := int(unsafe.Sizeof(unix.Cmsghdr{}.Len))
	if size == 8 {
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data))))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(unix.CmsgLen(len(data))))
	}
	binary.NativeEndian.PutUint32(b[size:], uint32(level))
	binary.NativeEndian.PutUint32(b[size+4:], uint32(kind))
	copy(b[unix.CmsgLen(0):], data)
	return b
}
