package portproxy

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/priority"
)

// tick is how often deadlines are looked at.
const tick = time.Second

// sweepEvery is how often connections are looked at that say nothing.
const sweepEvery = time.Minute

// handler is what a file descriptor in an epoll set stands for.
type handler interface {
	// ready gets the EPOLL bits. Loop l is the one that the descriptor is in.
	ready(l *loop, events uint32)
}

// slot holds a handler. Its generation tells events of a descriptor that was
// closed earlier in the same batch from those of its successor.
type slot struct {
	handler    handler
	generation int32
}

// loop is one thread's epoll set. All but post is for that thread alone.
type loop struct {
	places      *places // of all loops
	epoll, wake int
	slots       []slot
	free        []int32
	buffer      []byte    // for heads and datagrams
	control     []byte    // for ancillary data
	now         time.Time // of the last tick
	swept       time.Time // when connections were last looked at for silent ones
	batch       int       // how many events came at once

	conns                map[*conn]struct{}
	unset                map[*conn]struct{} // conns for whose deadline it is too early
	again                []*conn            // conns that have more to do than was their turn
	sessions             map[*udpListener]struct{}
	paused               []*tcpListener // out of file descriptors
	lacking              []*conn        // likewise
	pipes                []pipe         // that hold nothing
	pipesMade, mostPipes int
	stopping             bool

	mu    sync.Mutex
	queue []func()
	ended bool
}

func newLoop(p *places, mostPipes int) (*loop, error) {
	l := &loop{
		places: p, mostPipes: max(mostPipes, 1), epoll: -1, wake: -1, buffer: make([]byte, 64<<10), control: make([]byte, 256), now: time.Now(),
		conns: make(map[*conn]struct{}), unset: make(map[*conn]struct{}), sessions: make(map[*udpListener]struct{}),
	}
	if err := l.open(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *loop) open() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make an epoll set: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make an event descriptor: %w", err)
	}
	if _, err = l.add(l.wake, waker{}, unix.EPOLLIN); err != nil {
		return err
	}
	// One is there whatever else is open.
	p, err := l.takePipe()
	if err == nil {
		l.givePipe(p)
	}
	return err
}

func (l *loop) close() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	for _, p := range l.pipes {
		p.close()
	}
	for _, fd := range []int{l.wake, l.epoll} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// post has f run on the loop's thread and returns when it has. It does nothing
// once the loop has ended.
func (l *loop) post(f func()) {
	done := make(chan struct{})
	if l.tell(func() { f(); close(done) }) {
		<-done
	}
}

// tell has f run on the loop's thread, some time, unless the loop has ended.
func (l *loop) tell(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.queue = append(l.queue, f)
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, _ = unix.Write(l.wake, one) // EAGAIN: it is awake
	return true
}

// waker runs what was posted.
type waker struct{}

func (waker) ready(l *loop, _ uint32) {
	var b [8]byte
	_, _ = unix.Read(l.wake, b[:])
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	for _, f := range queue {
		f()
	}
}

// add puts a descriptor into the set and returns its slot.
func (l *loop) add(fd int, h handler, events uint32) (int32, error) {
	var i int32
	if n := len(l.free); n > 0 {
		i, l.free = l.free[n-1], l.free[:n-1]
	} else {
		i = int32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	l.slots[i].handler = h
	ev := unix.EpollEvent{Events: events, Fd: i, Pad: l.slots[i].generation}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		l.release(i)
		return -1, fmt.Errorf("watch a socket: %w", err)
	}
	return i, nil
}

// remove takes a descriptor out of the set; the caller closes it if it is its own.
func (l *loop) remove(fd int, i int32) {
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	l.release(i)
}

// closeSocket closes a descriptor, which takes it out of the set.
func (l *loop) closeSocket(fd int, i int32) {
	closeSocket(fd)
	if i >= 0 {
		l.release(i)
	}
}

func (l *loop) release(i int32) {
	l.slots[i].handler = nil
	l.slots[i].generation++
	l.free = append(l.free, i)
}

// run serves events until stop was posted.
func (l *loop) run() error {
	defer l.close()
	done, err := priority.Ordinary() // to relay is others' wish
	if err != nil {
		return err
	}
	defer done()
	events := make([]unix.EpollEvent, 256)
	for !l.stopping {
		n, err := l.events(events)
		if err != nil {
			return fmt.Errorf("wait for sockets: %w", err)
		}
		l.batch = n
		for _, ev := range events[:n] {
			if s := &l.slots[ev.Fd]; s.handler != nil && s.generation == ev.Pad {
				s.handler.ready(l, ev.Events)
			}
		}
		l.goOn()
	}
	return nil
}

// idle reports whether no deadline can pass.
func (l *loop) idle() bool {
	return len(l.unset) == 0 && len(l.sessions) == 0 && len(l.paused) == 0 && len(l.lacking) == 0
}

// events waits for events, and not at all if somebody has more to do. Every tick
// it looks at the deadlines, if there are any.
func (l *loop) events(events []unix.EpollEvent) (n int, err error) {
	wait := l.patience()
	if len(l.again) > 0 {
		wait = 0
	}
	n, err = unix.EpollWait(l.epoll, events, wait)
	if now := time.Now(); now.Sub(l.now) >= tick {
		l.now = now
		l.lookAtDeadlines()
	}
	if err == unix.EINTR {
		err = nil
	}
	return max(n, 0), err
}

// patience is how long the loop may sleep, in milliseconds; -1: for ever.
func (l *loop) patience() int {
	switch {
	case !l.idle():
		return int(tick.Milliseconds())
	case len(l.conns) > 0:
		return int(sweepEvery.Milliseconds())
	}
	return -1
}

// goOn gives each connection that had more to do another turn.
func (l *loop) goOn() {
	if len(l.again) == 0 {
		return
	}
	again := l.again
	l.again = nil
	for _, c := range again {
		c.waiting = false
		if c.phase == relaying {
			c.relay(l)
		}
	}
}

func (l *loop) lookAtDeadlines() {
	for c := range l.unset {
		if l.now.After(c.deadline) {
			c.timeOut(l)
		}
	}
	for u := range l.sessions {
		u.expire(l)
	}
	if l.now.Sub(l.swept) >= sweepEvery {
		l.swept = l.now
		l.endIdle()
	}
	l.goOnLacking() // before others come
	paused := l.paused
	l.paused = nil
	for _, t := range paused {
		t.resume(l)
	}
}

// stop ends everything, on the loop's thread.
func (l *loop) stop() {
	for c := range l.conns {
		c.reset(l, nil)
	}
	l.stopping = true
}
