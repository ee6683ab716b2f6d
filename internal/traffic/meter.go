package traffic

import (
	"sync"
	"time"
)

// How often the tables are read: each second at most, and no more than a fiftieth of the
// time goes into it. What nobody has asked for a minute is forgotten.
const (
	shortest = time.Second
	share    = 50
	keep     = time.Minute
)

// Meter reads when it is asked, and keeps the last reading to compare the next with. The
// zero value has read nothing yet. It may be used by several goroutines.
type Meter struct {
	mu    sync.Mutex
	last  Reading
	rates Rates
	took  time.Duration // the last reading
	asked time.Time
}

// idle is how far back a session that was idle is still in a reading. UDP from outside alone
// does not count as activity (RFC 4787 REQ-6), so that it is longer than between two readings.
const idle = time.Minute

// Rates returns what two readings tell, the second from now or a short while ago. Read gets
// since when a session must have sent.
func (m *Meter) Rates(now func() time.Time, read func(since time.Time) (Reading, error)) (Rates, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	began := now()
	m.asked = began
	age := began.Sub(m.last.At)
	if !m.last.At.IsZero() && age >= 0 && age < m.pause() {
		return m.rates, nil
	}
	if age < 0 || age > m.pause()+keep { // the clock was set, or nobody has asked for long
		m.last = Reading{}
	}
	since := began.Add(-idle)
	if !m.last.At.IsZero() && m.last.At.Before(since) {
		since = m.last.At
	}
	reading, err := read(since)
	if err != nil {
		return Rates{}, err
	}
	reading.At = began
	m.rates, m.last, m.took = Between(m.last, reading), reading, now().Sub(began)
	return m.rates, nil
}

// Forget gives the memory back if nobody has asked for a while.
func (m *Meter) Forget(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.asked) > m.pause()+keep {
		m.last, m.rates = Reading{}, Rates{}
	}
}

func (m *Meter) pause() time.Duration { return max(shortest, share*m.took) }
