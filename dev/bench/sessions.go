package bench

import (
	"context"
	"fmt"
	"slices"
)

// Sessions are bindings times remote ports: the external ports of one address
// would not do for as many bindings.
const flowSources = 1000

// sessionPhases measure how the number of sessions that are present weighs on
// each packet: frames of all of them in turn, so that nothing stays in the
// caches. Each number is a phase, as the sessions of one stay for the next.
func (b *Bench) sessionPhases() (phases [][]measurement) {
	counts := []int{1, 1000, 100_000, b.options.Sessions}
	slices.Sort(counts)
	for _, n := range slices.Compact(counts) {
		if n > b.options.Sessions {
			break
		}
		phases = append(phases, []measurement{{
			rows: []Row{{Name: fmt.Sprintf("64-byte UDP, outbound, sessions: %d", n), Unit: "kpkt/s"}},
			take: func(ctx context.Context, c *contender) ([]float64, error) { return b.manySessions(ctx, c.outbound, n) },
		}})
	}
	return phases
}

func (b *Bench) manySessions(ctx context.Context, p path, n int) ([]float64, error) {
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	l := load{frames: 1}
	for i := range n {
		l.lastPort = p.target.Port() + uint16(i/flowSources)
		l.messages = append(l.messages, e.udp(uint16(flowPort+i%flowSources), l.lastPort))
	}
	return b.flood(p, l)
}
