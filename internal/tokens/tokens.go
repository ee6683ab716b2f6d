// Package tokens limits how often something happens: tokens come at a rate, and each time
// takes one. Pure: it has no clock.
package tokens

import "time"

// Rate is how many tokens come a second, and how many are saved up at most.
type Rate struct{ PerSecond, Burst float64 }

// Bucket is what somebody has saved. The zero Bucket is full at its first use.
type Bucket struct {
	tokens float64
	at     time.Time
	begun  bool
}

// Fill adds what has come since the last time, and returns how many there are: less than
// none if some were taken ahead.
func (b *Bucket) Fill(r Rate, now time.Time) float64 {
	if !b.begun {
		b.tokens, b.at, b.begun = r.Burst, now, true
		return b.tokens
	}
	if since := now.Sub(b.at); since > 0 { // many threads read the clock
		b.tokens, b.at = min(r.Burst, b.tokens+r.PerSecond*since.Seconds()), now
	}
	return b.tokens
}

// Take takes one, if there is one.
func (b *Bucket) Take(r Rate, now time.Time) bool {
	if b.Fill(r, now) < 1 {
		return false
	}
	b.tokens--
	return true
}

// Reserve takes one in any case, and returns after what time it is there.
func (b *Bucket) Reserve(r Rate, now time.Time) time.Duration {
	b.Fill(r, now)
	b.tokens--
	return max(0, time.Duration(-b.tokens/r.PerSecond*float64(time.Second)))
}

// Each has a bucket for each of many, such as clients. The zero Each is empty.
type Each[K comparable] struct{ buckets map[K]*Bucket }

// most is how many are remembered; then all begin anew, so that who uses many
// names takes no memory.
const most = 4096

// Of returns the bucket of one.
func (e *Each[K]) Of(k K) *Bucket {
	b := e.buckets[k]
	if b == nil {
		if e.buckets == nil || len(e.buckets) >= most {
			e.buckets = make(map[K]*Bucket)
		}
		b = new(Bucket)
		e.buckets[k] = b
	}
	return b
}
