package portproxy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pipeSize is how much of one direction of a connection can be on its way, in
// bytes: what a process without privileges may have (/proc/sys/fs/pipe-max-size).
const pipeSize = 1 << 20

// keptPipes is how many idle pipes a loop keeps.
const keptPipes = 64

// pipe is what splice(2) moves data through.
type pipe struct {
	r, w  int
	slots int // each holds at least one byte
}

func (p pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// takePipe returns an empty pipe.
func (l *loop) takePipe() (pipe, error) {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p, nil
	}
	if l.pipesMade >= l.mostPipes {
		return pipe{}, fmt.Errorf("make a pipe: there are %d already: %w", l.pipesMade, unix.EMFILE)
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, fmt.Errorf("make a pipe: %w", err)
	}
	l.pipesMade++
	// Where that many pages are not allowed it works with less.
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	size, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		size = 0
	}
	return pipe{fds[0], fds[1], size / unix.Getpagesize()}, nil
}

// givePipe takes an empty pipe back.
func (l *loop) givePipe(p pipe) {
	if len(l.pipes) < keptPipes {
		l.pipes = append(l.pipes, p)
		return
	}
	l.closePipe(p)
}

func (l *loop) closePipe(p pipe) {
	p.close()
	l.pipesMade--
}
