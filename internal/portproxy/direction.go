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

// fill takes from the sender what the pipe has room for, if it is empty.
func (d *direction) fill(l *loop) error {
	if d.held > 0 || d.ended || !d.from.readable {
		return nil
	}
	p, err := l.takePipe()
	if err != nil {
		return err
	}
	for {
		n, err := splice(d.from.fd, p.w, pipeSize)
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
		if n < p.slots && !d.from.hangup {
			d.from.readable = false // it is the socket that was emptied, not the pipe that was filled
		}
		return nil
	}
}

// drain gives the receiver what the pipe holds.
func (d *direction) drain(l *loop) (moved int, err error) {
	for d.held > 0 && d.to.writable {
		n, err := splice(d.pipe.r, d.to.fd, d.held)
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

// passEnd tells the receiver that there is no more.
func (d *direction) passEnd() error {
	if d.closed {
		return nil
	}
	d.closed = true
	if err := shutdownWrite(d.to.fd); err != nil && err != unix.ENOTCONN {
		return err
	}
	return nil
}

// drop gives up what is on its way.
func (d *direction) drop() {
	if d.pipe.r > 0 {
		d.pipe.close()
		d.pipe, d.held = pipe{}, 0
	}
}
