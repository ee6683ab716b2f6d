package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/dev/lab"
)

// Rows of what many sessions and floods cost the others. Each is taken within
// one piece of traffic: with and without, right after each other.
var (
	presentRows = []Row{
		{Name: "many sessions: 64-byte UDP over 1,000 of them, of the rate with no more", Unit: "%", Bars: []Bar{{Limit: 85}}},
		{Name: "many sessions: 64-byte UDP over all at random, of the same", Unit: "%"},
		{Name: "many sessions: memory for one on a shared binding", Unit: "bytes", Lower: true},
	}
	expiryRows = []Row{
		{Name: "many sessions: UDP round trip p99 while all expire, of the usual", Unit: "×", Lower: true, Bars: []Bar{{Limit: 2}}},
		{Name: "many sessions: the worst p99 of some 12,000 trips then, of the usual worst", Unit: "×", Lower: true},
	}
	fragmentRows = floodRows("100,000 first fragments of a neighbour")
	newFlowRows  = floodRows("new flows of a neighbour")
	limitedRows  = floodRows("new flows of a neighbour with limits")
	synRows      = []Row{
		{Name: "flood: TCP connections, published, beside SYNs for a neighbour, of the rate alone", Unit: "%"},
		{Name: "flood: TCP connections, published, beside SYNs for a neighbour, failed", Unit: "runs", Lower: true, Bars: []Bar{{Limit: 0}}},
	}
	floodBars = []Bar{{Limit: 90}}
)

// floodRows are the rows of one kind of flood by a neighbour on the same NAT.
// What a neighbour with one ordinary flow takes away is the machine's doing.
func floodRows(what string) []Row {
	return []Row{
		{Name: "flood: 64-byte UDP beside " + what + ", of the rate alone", Unit: "%", Bars: floodBars},
		{Name: "flood: 64-byte UDP beside " + what + ", of that beside an ordinary flow", Unit: "%"},
		{Name: "flood: TCP connections beside " + what + ", lost", Unit: "of 100", Lower: true, Bars: []Bar{{Limit: 0}}},
	}
}

var underPressure = section{
	title:   "under pressure",
	rows:    slices.Concat(presentRows, expiryRows, fragmentRows, newFlowRows, limitedRows, synRows),
	missing: func() string { return "" },
	setups: func(o Options) ([]setup, error) {
		program, err := o.program()
		if err != nil {
			return nil, err
		}
		return []setup{hostnat(program)}, nil
	},
	measurements: func(b *Bench) []measurement {
		program := b.options.Program
		limits := []string{"nat", "set", "default", "max-rate=1000", "max-sessions=1000"}
		return []measurement{
			{rows: presentRows, take: freshly(besideNeighbour(program), b.manyPresent)},
			{rows: expiryRows, take: freshly(besideNeighbour(program, []string{"nat", "set", "default", fmt.Sprintf("udp-timeout=%.0f", expiryTimeout.Seconds())}), b.manyExpire)},
			{rows: fragmentRows, take: freshly(besideNeighbour(program), b.besideFlood(firstFragments))},
			{rows: newFlowRows, take: freshly(besideNeighbour(program), b.besideFlood(newFlows))},
			{rows: limitedRows, take: freshly(besideNeighbour(program, limits), b.besideFlood(newFlows))},
			{rows: synRows, take: freshly(besideNeighbour(program), b.besideSYNs)},
		}
	},
}

// freshly measures a contender that is made for it alone.
func freshly(s setup, take func(context.Context, *contender) ([]float64, error)) func(context.Context, *contender) ([]float64, error) {
	return func(ctx context.Context, _ *contender) (figures []float64, err error) {
		c, err := s.start(ctx, "")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.close()) }()
		if figures, err = take(ctx, c); err != nil {
			return nil, c.failure("fresh contender", err)
		}
		return figures, nil
	}
}

// Of the neighbour, which has a published port of its own.
const (
	neighbourAddress = "172.16.1.3"
	neighbourPort    = 8082
)

// besideNeighbour is hostnat with a second endpoint on the same NAT, configured
// by further commands.
func besideNeighbour(program string, steps ...[]string) setup {
	return setup{name: Hostnat, nat: true, build: func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		n, err := lab.NewNamespace("bench-n")
		if err != nil {
			return running{}, err
		}
		t.Endpoints = append(t.Endpoints, n) // closed with the topology
		d, err := startDaemon(ctx, program, t.Host)
		if err != nil {
			return running{}, err
		}
		err = d.configure(ctx, t.Endpoints[0].Name, ports)
		for _, step := range append([][]string{
			{"endpoint", "attach", "web", "c2", "--netns", n.Name, "--ifname", endpointLink, "--address", neighbourAddress},
			{"mapping", "add", "--protocol", "tcp", "--external", fmt.Sprint(neighbourPort), "--internal", fmt.Sprintf("c2:%d", insidePort)},
		}, steps...) {
			if err == nil {
				_, err = d.run(ctx, step...)
			}
		}
		if err != nil {
			return running{}, errors.Join(err, d.close())
		}
		return running{close: d.close, explain: d.status}, nil
	}}
}
