package pathmtu

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// answer is what came of one packet.
type answer struct {
	got     bool
	took    time.Duration
	tooBig  netip.Addr // who has said so; not valid: nobody
	mtu     int        // that was said with it; 0: none
	refusal string     // another ICMP error
}

// sender sends one packet of so many bytes and waits for what comes of it.
type sender interface {
	send(ctx context.Context, size int, wait time.Duration) (answer, error)
	name() string
}

const (
	smallest  = 128 // bytes: what every link takes (RFC 791: 68), with room for an echo's data
	firstWait = time.Second
	leastWait = 150 * time.Millisecond
	attempts  = 3 // of a size, before it counts as lost
)

// search looks for the largest size up to high that is answered. What is answered once
// gets through; what is lost three times in turn, and is framed by answers, does not.
func search(ctx context.Context, s sender, high int) (model.PathMTU, error) {
	r := model.PathMTU{By: s.name(), Tried: high}
	wait := firstWait
	for range attempts {
		a, err := s.send(ctx, smallest, wait)
		if err != nil || a.refusal != "" {
			r.Refusal = a.refusal
			return r, err
		}
		if a.got {
			r.Largest = smallest
			wait = min(max(4*a.took, leastWait), firstWait)
			break
		}
	}
	if r.Largest == 0 {
		return r, nil
	}
	next := high
	for low, above := smallest, high+1; above-low > 1; {
		a, err := lastAnswer(ctx, s, next, wait)
		if err != nil {
			return r, err
		}
		if a.got {
			low, r.Largest = next, next
		} else {
			above = next
			if a.tooBig.IsValid() {
				r.Router = a.tooBig
			}
		}
		if next = (low + above) / 2; a.mtu > low && a.mtu < above { // what a router says is tried
			next = a.mtu
		}
	}
	if r.Largest == r.Tried {
		r.Router = netip.Addr{}
		return r, nil
	}
	// That the remote has gone quiet meanwhile, or counts what it answers, is no matter of size.
	a, err := lastAnswer(ctx, s, r.Largest, wait)
	if err == nil && !a.got {
		err = fmt.Errorf("%s of %d bytes were answered at first, and are not any more: the remote answers too seldom to tell", s.name(), r.Largest)
	}
	return r, err
}

// lastAnswer sends a size until something comes of it.
func lastAnswer(ctx context.Context, s sender, size int, wait time.Duration) (a answer, err error) {
	for range attempts {
		if a, err = s.send(ctx, size, wait); err != nil || a.got || a.tooBig.IsValid() {
			return a, err
		}
	}
	return a, nil
}
