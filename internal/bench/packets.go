package bench

import (
	"context"
	"errors"
	"time"
)

const (
	warmUp     = 100 * time.Millisecond // until caches, neighbours and sessions are there
	packetTime = 400 * time.Millisecond
	flowPort   = 20000 // source port of the first flow
)

// packets measures 64-byte UDP frames a second (in thousands) that arrive in
// the server's namespace, of one flow.
func (b *Bench) packets(ctx context.Context, p path) ([]float64, error) {
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	rate, err := b.flood(p, [][]byte{e.udp(flowPort, p.target.Port())}, p.listen.Port())
	return []float64{rate}, err
}

// flood sends frames over and over, to server ports up to lastPort, and returns
// how many thousand a second arrive.
func (b *Bench) flood(p path, frames [][]byte, lastPort uint16) (rate float64, err error) {
	s, err := newSink(p.server, p.serverLink, p.source, p.listen.Addr(), p.listen.Port(), lastPort)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	g, err := newGenerator(p.client, p.clientLink, repeat(frames))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	err = inside(p.client, b.cpus.near, func() error {
		rate, err = measureFlood(g, s, len(frames))
		return err
	})
	return rate, err
}

func measureFlood(g *generator, s *sink, flows int) (float64, error) {
	if err := g.warmUp(flows); err != nil {
		return 0, err
	}
	before, err := s.read()
	if err != nil {
		return 0, err
	}
	sent, elapsed, err := g.run(packetTime)
	if err != nil {
		return 0, err
	}
	after, err := s.read()
	if err != nil {
		return 0, err
	}
	return float64(after.right-before.right) / elapsed.Seconds() / 1e3, after.check(before, sent)
}

// warmUp sends for a while, and each flow's packet at least twice.
func (g *generator) warmUp(flows int) error {
	for sent := 0; sent < 2*flows; {
		n, _, err := g.run(warmUp)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the link takes no frames")
		}
		sent += n
	}
	return nil
}

// repeat makes up a whole batch of few frames.
func repeat(frames [][]byte) [][]byte {
	all := frames
	for len(all) < sendBatch {
		all = append(all, frames...)
	}
	return all
}
