package export

import (
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/event"
)

// queueBytes is how much waits for a collector at the most: about 100,000 records of IPFIX.
const queueBytes = 4 << 20

// linger is how long an event waits for others that go with it in one packet.
const linger = 100 * time.Millisecond

// queue is what waits to be sent to one destination, and what there was no room for.
type queue struct {
	ready chan struct{} // has an element when there may be something to send

	mu      sync.Mutex
	format  format
	list    []packet
	bytes   int
	pending time.Time // since when the format has something that is not full; zero: it has nothing
	sent    uint64
	lost    losses
}

func newQueue(f format) queue { return queue{ready: make(chan struct{}, 1), format: f} }

// take puts an event in, or counts it as lost.
func (q *queue) take(e *event.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := q.format.add(e)
	if full.bytes == nil {
		if q.pending.IsZero() {
			q.pending = time.Now()
			q.wake()
		}
		return
	}
	if !q.pending.IsZero() {
		q.pending = time.Now() // of the one that did not fit
	}
	q.push(full)
}

// push is for who holds mu.
func (q *queue) push(p packet) {
	if q.bytes+len(p.bytes) > queueBytes {
		q.countLost(p.events, time.Now())
		return
	}
	q.list, q.bytes = append(q.list, p), q.bytes+len(p.bytes)
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// next returns what to send now. If there is nothing, it says after what time there is
// something for sure; 0: that is not known.
func (q *queue) next(now time.Time, all bool) (p packet, after time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) > 0 {
		p, q.list[0] = q.list[0], packet{}
		q.list, q.bytes = q.list[1:], q.bytes-len(p.bytes)
		return p, 0
	}
	if q.pending.IsZero() {
		return packet{}, 0
	}
	if wait := linger - now.Sub(q.pending); wait > 0 && !all {
		return packet{}, wait
	}
	q.pending = time.Time{}
	return q.format.rest(), 0
}

// lose counts events that were lost.
func (q *queue) lose(n uint64, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.countLost(n, at)
}

// countLost is lose for who holds mu.
func (q *queue) countLost(n uint64, at time.Time) {
	if n == 0 {
		return
	}
	if q.lost.events == 0 {
		q.lost.first = at
	}
	q.lost.events += n
	q.lost.last = at
	q.wake()
}

// countSent counts events that were written.
func (q *queue) countSent(n uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent += n
}

// refused counts as lost what was written last, since its receiver does not exist.
func (q *queue) refused(n uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent -= n
	q.countLost(n, time.Now())
}

func (q *queue) losses() losses {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

func (q *queue) counts() (sent, lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent, q.lost.events
}
