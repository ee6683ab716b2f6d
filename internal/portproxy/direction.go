package portproxy

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// turn is how many bytes one direction moves before others get theirs.
const turn = 1 << 20

// direction is one of the two streams of a connection.
type direction struct {
	from, to *side
	pipe     pipe
	held     int // bytes in the pipe; without any there is no pipe
	ended    bool
	closed   bool // the end was passed on
	bytes    *atomic.Uint64
}

// done reports whether everything was passed on, the end too.
func (d *direction) done() bool { return d.closed }

// opposite is the other stream of the connection.
func (d *direction) opposite() *direction {
	c := d.from.conn
	if d == &c.in {
		return &c.out
	}
	return &c.in
}

// move passes on what there is. More is true if its turn ended before that.
func (d *direction) move(l *loop) (more bool, err error) {
	for moved := 0; moved < turn; {
		if err := d.fill(l); err != nil {
			return false, err
		}
		n, err := d.drain(l)
		if err != nil {
			return false, err
		}
		moved += n
		if d.ended && d.held == 0 {
			return false, d.passEnd()
		}
		if d.held > 0 && !d.to.writable || d.held == 0 && !d.from.readable {
			return false, nil
		}
	}
	return true, nil
}

// fill takes from the sender what the pipe can take, if it is empty.
func (d *direction) fill(l *loop) error {
	if d.held > 0 || d.ended || !d.from.readable {
		return nil
	}
	p, err := l.takePipe()
	if err != nil {
		return err
	}
	for {
		n, err := splice(d.from.fd, p.w, pipeSize, false)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			d.from.readable = false
			l.givePipe(p)
			return nil
		case err != nil:
			l.givePipe(p)
			return err
		case n == 0:
			d.ended = true
			l.givePipe(p)
			return nil
		}
		d.pipe, d.held = p, n
		if seen := d.from.seen; n >= p.slots && (seen == 0 || n < seen) {
			return nil // there may be more than the pipe can take
		}
		d.from.seen = 0
		if d.from.hangup {
			return d.fillUp()
		}
		d.from.readable = false
		return nil
	}
}

// fillUp looks for the end behind what a pipe that is not full holds: the two are then
// passed on in one packet.
func (d *direction) fillUp() error {
	n, err := splice(d.from.fd, d.pipe.w, pipeSize, false)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR: // drain, and look again
		return nil
	case err != nil:
		return err
	}
	d.ended = n == 0
	d.held += n
	return nil
}

// drain gives the receiver what the pipe holds.
func (d *direction) drain(l *loop) (moved int, err error) {
	for d.held > 0 && d.to.writable {
		if err := d.to.promptly(); err != nil {
			return moved, err
		}
		n, err := splice(d.pipe.r, d.to.fd, d.held, d.ended)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			d.to.writable = false
		case err != nil:
			return moved, err
		default:
			d.held -= n
			moved += n
			d.bytes.Add(uint64(n))
		}
	}
	if d.held == 0 && d.pipe.r > 0 {
		l.givePipe(d.pipe)
		d.pipe = pipe{}
	}
	return moved, nil
}

// passEnd tells the receiver that there is no more. The second end is told by
// closing both sockets.
func (d *direction) passEnd() error {
	if d.closed {
		return nil
	}
	d.closed = true
	if d.opposite().closed {
		return nil
	}
	if err := shutdownWrite(d.to.fd); err != nil && err != unix.ENOTCONN {
		return err
	}
	return nil
}

// drop gives up what is on its way.
func (d *direction) drop() {
	if d.pipe.r > 0 {
		d.from.conn.on.closePipe(d.pipe)
		d.pipe, d.held = pipe{}, 0
	}
}
