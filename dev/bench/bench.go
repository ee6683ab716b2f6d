package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
)

// Options is what to measure. The zero value of a field that is not marked
// otherwise is an error.
type Options struct {
	Program    string         // the hostnat binary
	Against    string         // another one, for the contender Before; may be empty
	Contenders []string       // some of Hostnat, NFTables, Routing, Before
	Rounds     int            // how often each figure is taken
	Full       bool           // the long rows too; may be false
	Sessions   int            // how many sessions the longest row has present
	Rows       *regexp.Regexp // which rows; nil: all
	Progress   io.Writer      // one line a round; nil: none
}

// Bench is a run with its contenders set up.
type Bench struct {
	options    Options
	cpus       cpus
	contenders []*contender
}

// mostThreads is more than any measurement has.
const mostThreads = 32

// program is the path of the hostnat binary.
func (o Options) program() (string, error) {
	path, err := exec.LookPath(o.Program)
	if err != nil {
		return "", fmt.Errorf("find hostnat (build it first): %w", err)
	}
	return path, nil
}

// setups returns how to make the contenders that are wanted, in order.
func (o Options) setups() ([]setup, error) {
	program, err := o.program()
	if err != nil && slices.Contains(o.Contenders, Hostnat) {
		return nil, err
	}
	known := map[string]setup{Hostnat: hostnat(program), NFTables: nftables, Routing: routing}
	if o.Against != "" {
		before := hostnat(o.Against)
		before.name = Before
		known[Before] = before
	}
	var all []setup
	for _, name := range o.Contenders {
		s, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("%q is no contender; there are %s, %s, %s, and with another program %s", name, Hostnat, NFTables, Routing, Before)
		}
		all = append(all, s)
	}
	return all, nil
}

// ErrNoRows says that Options.Rows leaves none of a table.
var ErrNoRows = errors.New("no row was measured")

// Run measures everything and cleans up, also if ctx ends early.
func Run(ctx context.Context, o Options) (*Report, error) {
	setups, err := o.setups()
	if err != nil {
		return nil, err
	}
	return o.run(ctx, setups, (*Bench).phases)
}

// run measures phases with contenders of its own.
func (o Options) run(ctx context.Context, setups []setup, phases func(*Bench, []setup) [][]measurement) (report *Report, err error) {
	// Threads that wait in the kernel must not wait for Go's scheduler as well
	// when they come back: that doubles the time of a TCP connection.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(mostThreads))
	b := &Bench{options: o}
	if b.cpus, err = chooseCPUs(); err != nil {
		return nil, err
	}
	all := phases(b, setups)
	if len(all) == 0 {
		return nil, ErrNoRows
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, s := range setups {
		c, err := s.start(ctx, "")
		if err != nil {
			return nil, err
		}
		b.contenders = append(b.contenders, c)
	}
	samples := newSamples()
	for _, phase := range all {
		for round := range o.Rounds {
			b.progress("round %d of %d, from %q on", round+1, o.Rounds, phase[0].rows[0].Name)
			if err := b.round(ctx, round, phase, samples); err != nil {
				return nil, err
			}
		}
	}
	return b.report(samples)
}

func (b *Bench) close() error {
	var errs []error
	for _, c := range b.contenders {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// round takes each figure once for each contender.
func (b *Bench) round(ctx context.Context, number int, phase []measurement, samples *samples) error {
	for _, m := range phase {
		taken := make(map[string][][]float64) // by contender, a slice for each row
		for lap := range max(m.laps, 1) {
			if err := b.lap(ctx, number+lap, m, taken); err != nil {
				return err
			}
		}
		for name, rows := range taken {
			for i, values := range rows {
				samples.add(m.rows[i], name, percentile(values, 50))
			}
		}
	}
	return nil
}

// lap measures each contender once. Who begins changes from lap to lap: nobody
// always follows the same neighbour.
func (b *Bench) lap(ctx context.Context, number int, m measurement, taken map[string][][]float64) error {
	for i := range b.contenders {
		c := b.contenders[(i+number)%len(b.contenders)]
		if m.only != "" && m.only != c.name {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %w", context.Cause(ctx))
		}
		values, err := m.take(ctx, c)
		if err != nil {
			return c.failure(m.rows[0].Name, err)
		}
		if taken[c.name] == nil {
			taken[c.name] = make([][]float64, len(m.rows))
		}
		for i := range m.rows {
			taken[c.name][i] = append(taken[c.name][i], values[i])
		}
	}
	return nil
}

func (b *Bench) progress(format string, args ...any) {
	if b.options.Progress != nil {
		fmt.Fprintf(b.options.Progress, format+"\n", args...)
	}
}
