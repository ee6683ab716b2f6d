package bench

import (
	"context"
	"errors"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"github.com/hostnat/hostnat/dev/lab"
)

const (
	warmUp     = 100 * time.Millisecond // until caches, neighbours and sessions are there
	packetTime = 400 * time.Millisecond
	flowPort   = 20000 // source port of the first flow
)

// burstFrames is how many frames the generator hands over in one piece. The
// link takes them apart, and the host gets them as from a card under load.
const burstFrames = 64

// packets measures 64-byte UDP frames a second (in thousands) that arrive in
// the server's namespace, of one flow.
func (b *Bench) packets(ctx context.Context, p path) ([]float64, error) {
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	return b.bursts(p, e)
}

func (b *Bench) bursts(p path, e envelope) (figures []float64, err error) {
	restore, err := traffic.SplitBursts(p.client, p.clientLink)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, restore()) }()
	return b.flood(p, load{
		messages: [][]byte{e.burst(flowPort, p.target.Port(), burstFrames)}, frames: burstFrames, lastPort: p.listen.Port(),
	})
}

// nothing measures generator and sink alone: the frames end where the host
// begins. No contender can be faster.
func (b *Bench) nothing(ctx context.Context, c *contender) ([]float64, error) {
	p := c.inbound
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	p.server, p.serverLink = c.topology.Host, lab.HostLink
	p.listen = p.target
	return b.bursts(p, e)
}

// load is what to send over and over.
type load struct {
	messages [][]byte // from an envelope
	frames   int      // in each message
	lastPort uint16   // of the server, the first being the path's
}

// flood sends a load and returns how many thousand frames a second arrive, and CPU
// seconds a million.
func (b *Bench) flood(p path, l load) (figures []float64, err error) {
	s, err := traffic.NewSink(p.server, p.serverLink, p.source, p.listen.Addr(), p.listen.Port(), l.lastPort)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	g, err := traffic.NewGenerator(p.client, p.clientLink, repeat(l.messages))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	err = inside(p.client, b.cpus.near, func() error {
		figures, err = measureFlood(g, s, l)
		return err
	})
	return figures, err
}

func measureFlood(g *traffic.Generator, s *traffic.Sink, l load) ([]float64, error) {
	if err := g.WarmUp(warmUp, len(l.messages)); err != nil {
		return nil, err
	}
	before, err := s.Read()
	if err != nil {
		return nil, err
	}
	m, err := startMeter()
	if err != nil {
		return nil, err
	}
	sent, _, err := g.Run(packetTime)
	if err != nil {
		return nil, err
	}
	after, err := s.Read()
	if err != nil {
		return nil, err
	}
	if err := after.Check(before, sent*l.frames); err != nil {
		return nil, err
	}
	return packetFigures(m, after.Right-before.Right)
}

// packetFigures are thousands a second, and CPU seconds a million.
func packetFigures(m meter, packets uint64) ([]float64, error) {
	if packets == 0 {
		return nil, errors.New("no packet arrived")
	}
	figures, err := m.read(float64(packets))
	if err != nil {
		return nil, err
	}
	return []float64{figures[0] / 1e3, figures[1] * 1e6}, nil
}

// repeat makes up a whole batch of few messages.
func repeat(messages [][]byte) [][]byte {
	all := messages
	for len(all) < traffic.SendBatch {
		all = append(all, messages...)
	}
	return all
}
