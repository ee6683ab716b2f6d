package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
)

const (
	fewSessions  = 1000 // over which the rate is taken, with and without others
	pressureLaps = 3    // how often each figure is taken, of which the median counts
)

// sessionLoad has a frame for each of n sessions, fewSessions first: bindings
// times remote ports, as in manySessions.
func sessionLoad(p path, e envelope, n int) load {
	l := load{frames: 1}
	for i := range n {
		l.lastPort = p.target.Port() + uint16(i/flowSources)
		l.messages = append(l.messages, e.udp(uint16(flowPort+i%flowSources), l.lastPort))
	}
	return l
}

// manyPresent takes the rate over the same few sessions alone and with all the
// others in the table, then over all, and what the kernel keeps for each.
func (b *Bench) manyPresent(ctx context.Context, c *contender) ([]float64, error) {
	p := c.outbound
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	all := sessionLoad(p, e, max(b.options.Sessions, 2*fewSessions))
	few := load{messages: all.messages[:fewSessions], frames: 1, lastPort: p.target.Port()}
	alone, err := b.medianFlood(p, few)
	if err != nil {
		return nil, err
	}
	runtime.GC()
	settle()
	before, err := slabBytes()
	if err != nil {
		return nil, err
	}
	if _, err := b.flood(p, all); err != nil { // each frame at least twice
		return nil, err
	}
	settle()
	after, err := slabBytes()
	if err != nil {
		return nil, err
	}
	beside, err := b.medianFlood(p, few)
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(all.messages), func(i, j int) { all.messages[i], all.messages[j] = all.messages[j], all.messages[i] })
	random, err := b.medianFlood(p, all)
	if err != nil {
		return nil, err
	}
	count := float64(len(all.messages) - fewSessions)
	return []float64{100 * beside / alone, 100 * random / alone, (after - before) / count}, nil
}

func (b *Bench) medianFlood(p path, l load) (float64, error) {
	var rates []float64
	for range pressureLaps {
		figures, err := b.flood(p, l)
		if err != nil {
			return 0, err
		}
		rates = append(rates, figures[0])
	}
	return percentile(rates, 50), nil
}

// expiryTimeout is how long a UDP session of manyExpire lives: longer than it
// takes to open them all.
const expiryTimeout = 15 * time.Second

// manyExpire takes round trips while sessions expire that were opened as fast as
// can be, and before that without them.
func (b *Bench) manyExpire(ctx context.Context, c *contender) ([]float64, error) {
	p := c.outbound
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	usual, err := b.tailsUntil(ctx, p, time.Now().Add(3*time.Second))
	if err != nil {
		return nil, err
	}
	l := sessionLoad(p, e, b.options.Sessions)
	began := time.Now()
	opened, err := b.openAll(p, l)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	if took > expiryTimeout-time.Second {
		return nil, fmt.Errorf("opening %d sessions took %v: the first are gone already", opened, took.Round(time.Millisecond))
	}
	if err := wait(ctx, time.Until(began.Add(expiryTimeout-200*time.Millisecond))); err != nil {
		return nil, err
	}
	during, err := b.tailsUntil(ctx, p, began.Add(expiryTimeout+took+time.Second))
	if err != nil {
		return nil, err
	}
	return []float64{percentile(during, 50) / percentile(usual, 50), slices.Max(during) / slices.Max(usual)}, nil
}

// tailsUntil is the p99 of each run of round trips until then.
func (b *Bench) tailsUntil(ctx context.Context, p path, end time.Time) (tails []float64, err error) {
	for len(tails) == 0 || time.Now().Before(end) {
		trips, err := b.roundTrips(ctx, p)
		if err != nil {
			return nil, err
		}
		tails = append(tails, trips[1])
	}
	return tails, nil
}

// openAll sends each frame once, and fails if one in a hundred did not arrive.
func (b *Bench) openAll(p path, l load) (opened int, err error) {
	s, err := traffic.NewSink(p.server, p.serverLink, p.source, p.listen.Addr(), p.listen.Port(), l.lastPort)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	g, err := traffic.NewGenerator(p.client, p.clientLink, l.messages)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	err = inside(p.client, b.cpus.near, func() error {
		for sent := 0; sent < len(l.messages); {
			n, err := g.Batch(traffic.SendBatch)
			if err != nil {
				return err
			}
			sent += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	got, err := s.Read()
	if err != nil {
		return 0, err
	}
	return int(got.Right), got.Check(traffic.Arrivals{}, len(l.messages))
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
