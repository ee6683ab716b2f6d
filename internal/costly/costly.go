// Package costly shares what is expensive to read among those who ask for it often.
package costly

import (
	"sync"
	"time"
)

// What was quick to read is read anew each time; of others, no more than a
// twentieth of the time goes into reading.
const (
	quick = 20 * time.Millisecond
	share = 20
)

// Reading is a value that takes time to read, as it was when it was last read. The
// zero value has not been read yet. It may be used by several goroutines.
type Reading[T any] struct {
	mu    sync.Mutex
	value T
	at    time.Time
	took  time.Duration
}

// Get returns what read returned, now or a short while ago. An error is not kept:
// the next one who asks has it read again.
func (r *Reading[T]) Get(now func() time.Time, read func() (T, error)) (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	began := now()
	if r.took > quick && began.Sub(r.at) < share*r.took {
		return r.value, nil
	}
	value, err := read()
	if err != nil {
		var none T
		return none, err
	}
	r.value, r.at = value, now()
	r.took = r.at.Sub(began)
	return value, nil
}
