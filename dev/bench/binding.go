package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
)

const (
	smallRange      = "40000-49999" // external ports of a NAT that is to run full
	smallRangePorts = 10_000
	freshFlows      = 50    // new bindings that are timed together
	freshFlowPort   = 10000 // source port of the first; outside of the range, so that none can be kept
)

// bindingMeasurement takes the time of new bindings while 1 % and 99 % of the
// external ports are in use, and counts the new flows that are refused then
// although ports are free. Each time a contender of its own runs full.
func (b *Bench) bindingMeasurement(s setup) measurement {
	var rows []Row
	for _, percent := range []int{1, 99} {
		used := fmt.Sprintf("%d %% of %d ports used", percent, smallRangePorts)
		rows = append(rows, Row{Name: "new bindings, " + used, Unit: "1/s"}, Row{Name: "flows refused, " + used, Unit: "%", Lower: true})
	}
	return measurement{
		rows: rows,
		only: s.name,
		take: s.fresh(smallRange, b.fillRange),
	}
}

// fresh measures the outbound path of a contender that is made for it alone.
func (s setup) fresh(ports string, take func(context.Context, path) ([]float64, error)) func(context.Context, *contender) ([]float64, error) {
	return func(ctx context.Context, _ *contender) (figures []float64, err error) {
		c, err := s.start(ctx, ports)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.close()) }()
		if figures, err = take(ctx, c.outbound); err != nil {
			return nil, c.failure("fresh contender", err)
		}
		return figures, nil
	}
}

// fillRange opens flow after flow, and returns the figures at the two levels.
func (b *Bench) fillRange(ctx context.Context, p path) (figures []float64, err error) {
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	o, err := newOpener(p, e, 2*smallRangePorts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	err = inside(p.client, b.cpus.near, func() error {
		for _, percent := range []int{1, 99} {
			if err := o.fill(smallRangePorts * percent / 100); err != nil {
				return err
			}
			opened, took, err := o.open(freshFlows)
			if err != nil {
				return err
			}
			figures = append(figures, float64(opened)/took.Seconds(), 100-100*float64(opened)/freshFlows)
		}
		return nil
	})
	return figures, err
}

// opener opens UDP flows, each from a source port of its own, by one frame.
type opener struct {
	generator *traffic.Generator
	sink      *traffic.Sink
	tried     int
	opened    int // flows that came through
}

// newOpener has frames for so many flows.
func newOpener(p path, e envelope, flows int) (*opener, error) {
	var frames [][]byte
	for i := range flows {
		frames = append(frames, e.udp(uint16(freshFlowPort+i), p.target.Port()))
	}
	s, err := traffic.NewSink(p.server, p.serverLink, p.source, p.listen.Addr(), p.listen.Port(), p.listen.Port())
	if err != nil {
		return nil, err
	}
	g, err := traffic.NewGenerator(p.client, p.clientLink, frames)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &opener{generator: g, sink: s}, nil
}

func (o *opener) close() error { return errors.Join(o.generator.Close(), o.sink.Close()) }

// open tries so many new flows, and returns how many came through translated
// and in what time.
func (o *opener) open(flows int) (opened int, took time.Duration, err error) {
	if o.tried += flows; o.tried > len(o.generator.Messages) { // further ones would not be new
		return 0, 0, fmt.Errorf("of %d new flows only %d came through", len(o.generator.Messages), o.opened)
	}
	start := time.Now()
	for sent := 0; sent < flows; {
		n, err := o.generator.Batch(min(traffic.SendBatch, flows-sent))
		if err != nil {
			return 0, 0, err
		}
		sent += n
	}
	took = time.Since(start)
	total, err := o.sink.Read()
	if err != nil {
		return 0, 0, err
	}
	opened = int(total.Right) - o.opened
	o.opened = int(total.Right)
	return opened, took, nil
}

// fill opens flows until there are so many; a contender may refuse some.
func (o *opener) fill(flows int) error {
	for o.opened < flows {
		if _, _, err := o.open(flows - o.opened); err != nil {
			return err
		}
	}
	return nil
}
