package portproxy

import (
	"time"

	"golang.org/x/sys/unix"
)

// refuser is a Chooser that knows what to tell clients that reach no server.
type refuser interface {
	// refusal gets what the client has said so far. Nil: there is nothing to say.
	refusal(head []byte, why error) []byte
}

// takeTime is how long a client has to take what it is told.
const takeTime = time.Second

// tell sends a client that reaches no server its last words, and reports whether
// there were any; then the connection ends later. To close it at once, with
// bytes of the client unread, would be to reset it, which may overtake the words
// (RFC 1122, section 4.2.2.13; RFC 9112, section 9.6).
func (c *conn) tell(l *loop, why error) bool {
	r, ok := c.rule.chooser.(refuser)
	if !ok || why == nil || c.phase != choosing && c.phase != connecting {
		return false
	}
	n, _, _ := unix.Recvfrom(c.client.fd, l.buffer[:maxHead], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	words := r.refusal(l.buffer[:max(n, 0)], why)
	if len(words) == 0 {
		return false
	}
	// The buffer of a fresh socket takes it.
	if _, err := unix.SendmsgN(c.client.fd, words, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil {
		return false
	}
	if err := unix.Shutdown(c.client.fd, unix.SHUT_WR); err != nil {
		return false
	}
	if c.server.fd >= 0 {
		l.closeSocket(c.server.fd, c.server.slot)
		c.server.fd, c.server.slot = -1, -1
	}
	c.rule.stats.fail(why)
	c.phase, c.deadline = leaving, time.Now().Add(takeTime)
	l.unset[c] = struct{}{}
	c.leave(l)
	return true
}

// leave throws away what the client still sends, until its end.
func (c *conn) leave(l *loop) {
	for {
		n, _, err := unix.Recvfrom(c.client.fd, l.buffer, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			c.finish(l)
			return
		}
	}
}
