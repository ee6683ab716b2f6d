package portproxy

import (
	"container/list"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// setupTime is how long a client has to say which server it wants, and each
// server to take the connection.
const setupTime = 10 * time.Second

// phase is how far a connection is.
type phase uint8

const (
	choosing   phase = iota // reading what the client says first, if it has to
	connecting              // to the server
	relaying
	leaving // the client is being told why it reaches no server
	gone
)

// watched are the events of a connection's sockets. They are edges: readable
// and writable remember them.
const watched = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// side is one of the two sockets of a connection.
type side struct {
	conn     *conn
	fd       int // -1: none
	slot     int32
	readable bool
	writable bool
	hangup   bool // the peer has sent its end
	told     bool // something was sent to the peer
	prompt   bool // see promptly
	seen     int  // so many bytes were there to be read when somebody looked
}

// promptly has what is sent go at once, whatever is on its way before it. The
// first that is sent does so anyway, and often is the last.
func (s *side) promptly() error {
	if s.prompt || !s.told {
		s.told = true
		return nil
	}
	s.prompt = true
	return noDelay(s.fd)
}

// conn is a client's connection and the one to the server.
type conn struct {
	rule     *rule
	client   side
	server   side
	in, out  direction // from the client, to the client
	phase    phase
	on       *loop
	place    *list.Element // in places; guarded by them
	active   atomic.Int64  // when something happened last (places.time)
	waiting  bool          // in loop.again
	lacking  bool          // in loop.lacking
	deadline time.Time
	from     netip.AddrPort // the client
	offset   int
	target   model.HostPorts
	servers  []server // addresses that were not tried yet
}

// start takes over the client's socket, if there is a place for it.
func (l *loop) start(t *tcpListener, fd int, from netip.AddrPort) {
	c := &conn{rule: t.rule, on: l, from: from, offset: t.offset, deadline: time.Now().Add(setupTime)}
	c.active.Store(l.places.time(time.Now()))
	victim, admitted := l.places.enter(c)
	if !admitted {
		t.refuse(fd)
		return
	}
	if victim != nil {
		victim.giveWay()
	}
	c.client = side{conn: c, fd: fd, slot: -1, prompt: true} // as the listener is
	c.server = side{conn: c, fd: -1, slot: -1}
	c.in = direction{from: &c.client, to: &c.server, bytes: &c.rule.stats.in}
	c.out = direction{from: &c.server, to: &c.client, bytes: &c.rule.stats.out}
	l.conns[c], l.unset[c] = struct{}{}, struct{}{}
	c.rule.stats.begin()
	slot, err := l.add(fd, &c.client, watched)
	if err != nil {
		c.reset(l, err)
		return
	}
	c.client.slot = slot // the first event comes at once: it can be written to
}

// ready is told of what happened to one of the sockets.
func (s *side) ready(l *loop, events uint32) {
	c := s.conn
	c.active.Store(l.places.time(l.now))
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.readable = true
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.writable = true
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.hangup = true
	}
	failed := events&unix.EPOLLERR != 0
	switch {
	case c.phase == connecting && s == &c.server:
		c.connected(l, failed)
	case c.phase == relaying:
		if c.relay(l); failed && c.phase == relaying {
			c.reset(l, s.err())
		}
	case failed:
		c.reset(l, s.err())
	case c.phase == choosing:
		c.choose(l)
	case c.phase == leaving:
		c.leave(l)
	}
}

// err returns and clears the socket's pending error.
func (s *side) err() error {
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case n == 0:
		return unix.ECONNRESET
	}
	return unix.Errno(n)
}

// choose finds out which server it is to be. If the client has to say that, it
// looks at what has come so far, and leaves it in the socket: the server gets it
// with all the rest.
func (c *conn) choose(l *loop) {
	if c.rule.chooser == nil {
		c.target = c.rule.proxy.Connect
		c.connect(l)
		return
	}
	if !c.client.readable {
		return
	}
	n, _, err := unix.Recvfrom(c.client.fd, l.buffer[:maxHead], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		c.client.readable = false
		return
	case err != nil:
		c.reset(l, nil)
		return
	case n == 0:
		c.finish(l)
		return
	}
	c.client.seen = n
	target, enough, err := c.rule.chooser.Choose(l.buffer[:n])
	switch {
	case err != nil:
		c.reset(l, fmt.Errorf("%s: %w", c.from, err))
	case enough:
		c.target = target
		c.offset = 0
		c.connect(l)
	case n == maxHead:
		c.reset(l, fmt.Errorf("%s: %w", c.from, errHeadTooLong))
	case c.client.hangup:
		c.finish(l)
	}
}

// relay moves what there is to move.
func (c *conn) relay(l *loop) {
	more, err := c.in.move(l)
	alsoMore, alsoErr := c.out.move(l)
	more = more || alsoMore
	if err == nil || outOfDescriptors(err) && alsoErr != nil {
		err = alsoErr
	}
	switch {
	case outOfDescriptors(err):
		c.wait(l, err)
	case err != nil:
		c.reset(l, ordinary(err))
	case c.in.done() && c.out.done():
		c.finish(l)
	case more && !c.waiting:
		c.waiting = true
		l.again = append(l.again, c)
	}
}

// ordinary is nil for errors that are how a peer ends a connection.
func ordinary(err error) error {
	if err == unix.ECONNRESET || err == unix.EPIPE {
		return nil
	}
	return err
}

func (c *conn) timeOut(l *loop) {
	switch c.phase {
	case leaving:
		c.finish(l)
		return
	case relaying: // it lasts: now probes for peers that are gone are worth their cost
		delete(l.unset, c)
		if err := errors.Join(keepAlive(c.client.fd), keepAlive(c.server.fd)); err != nil {
			c.reset(l, err)
		}
		return
	case choosing:
		c.reset(l, fmt.Errorf("%s did not say which server it wants: %w", c.from, os.ErrDeadlineExceeded))
		return
	}
	if c.server.fd < 0 { // it has waited for a descriptor
		c.reset(l, fmt.Errorf("connect to %s: %w", c.target, unix.EMFILE))
		return
	}
	c.hangUp(l)
	c.tryNext(l, unix.ETIMEDOUT)
}

// reset ends both connections at once: the peers are sent RST, but a client that
// can be told why. Why is the rule's last error, unless it is nil.
func (c *conn) reset(l *loop, why error) {
	if c.phase == gone || c.tell(l, ordinary(why)) {
		return
	}
	for _, s := range []*side{&c.client, &c.server} {
		if s.fd >= 0 {
			_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
	}
	if why = ordinary(why); why != nil {
		c.rule.stats.fail(why)
	}
	c.finish(l)
}

// finish closes what is open.
func (c *conn) finish(l *loop) {
	if c.phase == gone {
		return
	}
	c.phase = gone
	c.in.drop()
	c.out.drop()
	for _, s := range []*side{&c.client, &c.server} {
		if s.fd >= 0 {
			l.closeSocket(s.fd, s.slot)
			s.fd, s.slot = -1, -1
		}
	}
	delete(l.conns, c)
	delete(l.unset, c)
	l.places.exit(c)
	c.rule.stats.end()
}

// giveWay ends a connection soon, for another one. Any thread may call it.
func (c *conn) giveWay() {
	c.on.tell(func() {
		if c.phase != gone {
			c.rule.stats.gaveWay.Add(1)
			c.reset(c.on, nil)
		}
	})
}

// idleTime is how long a connection may be silent: as long as a NAT has to remember
// one (RFC 5382 REQ-5: 2 hours and 4 minutes).
const idleTime = 2*time.Hour + 4*time.Minute

// endIdle ends the connections that were silent for too long.
func (l *loop) endIdle() {
	now := l.places.time(l.now)
	for c := range l.conns {
		if time.Duration(now-c.active.Load()) > idleTime {
			c.reset(l, fmt.Errorf("%s: silent for %s", c.from, idleTime))
		}
	}
}
