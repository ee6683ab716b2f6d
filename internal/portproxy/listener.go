package portproxy

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// acceptsAtOnce is how many connections a loop takes before it looks at others,
	// at most. It takes more the more there is to do besides: each turn is then
	// longer. Mostly it is one: to find out that there is no other is a call too.
	acceptsAtOnce = 32
	// refusesAtOnce is how many it refuses meanwhile, at most: they cost little.
	refusesAtOnce = 256
)

// tcpListener is a listening socket. All loops share it; each has one of these.
type tcpListener struct {
	rule   *rule
	fd     int
	slot   int32
	offset int // which port of the rule's range
}

// listen has the loop take connections from a listening socket.
func (l *loop) listen(t *tcpListener) (err error) {
	// One loop is woken for a connection, not all.
	t.slot, err = l.add(t.fd, t, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
	return err
}

// ignore has the loop take no more.
func (l *loop) ignore(t *tcpListener) {
	if t.slot >= 0 {
		l.remove(t.fd, t.slot)
		t.slot = -1
	}
	for i, p := range l.paused {
		if p == t {
			l.paused = append(l.paused[:i], l.paused[i+1:]...)
			break
		}
	}
}

// ready takes connections.
func (t *tcpListener) ready(l *loop, _ uint32) {
	pressed := t.pressed()
	for taken, refused := 0, 0; taken < min(1+l.batch/8, acceptsAtOnce) && refused < refusesAtOnce; {
		fd, from, err := accept(t.fd)
		switch err {
		case nil:
			if t.rule.accepts.admit(clientOf(from.Addr()), time.Now(), pressed) {
				l.start(t, fd, from)
				taken++
			} else {
				t.refuse(fd)
				refused++
			}
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			t.pause(l, err)
			return
		default: // one that is gone already (accept(2) lists many errors)
			taken++
		}
	}
}

// pressed reports whether so many connections wait that their clients have to wait for each other.
func (t *tcpListener) pressed() bool {
	n, err := waiting(t.fd)
	if err != nil {
		t.rule.stats.fail(err)
	}
	return n >= longQueue
}

// refuse resets a connection that there is no place for.
func (t *tcpListener) refuse(fd int) {
	t.rule.stats.refuse()
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	closeSocket(fd)
}

// pause stops taking connections until the next tick: the socket would be
// ready again at once.
func (t *tcpListener) pause(l *loop, err error) {
	t.rule.stats.fail(fmt.Errorf("take a connection: %w", err))
	l.remove(t.fd, t.slot)
	t.slot = -1
	l.paused = append(l.paused, t)
}

func (t *tcpListener) resume(l *loop) {
	if err := l.listen(t); err != nil {
		t.slot = -1
		l.paused = append(l.paused, t)
	}
}
