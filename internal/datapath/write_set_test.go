package datapath

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// knownFlow is a session of one of the parties with the remote; the steps open it.
type knownFlow struct {
	protocol model.Protocol
	party    int
	inside   uint16
	mapped   netip.AddrPort // external end, not valid for a flow that begins inside
	remote   uint16         // port; 0: 80
	steps    []wire.Step
}

var knownFlows = map[string]knownFlow{
	"UDP outbound": {protocol: model.UDP, inside: 1000, steps: []wire.Step{wire.Out(0), wire.In(0)}},
	"TCP outbound": {protocol: model.TCP, inside: 1000, steps: []wire.Step{wire.Out(wire.Syn), wire.In(wire.SynAck), wire.Out(wire.Ack)}},
	"UDP mapped":   {protocol: model.UDP, party: 1, inside: 1002, mapped: at(wire.HostAddress, 8080), steps: []wire.Step{wire.In(0), wire.Out(0)}},
	"TCP mapped": {protocol: model.TCP, inside: 1001, mapped: at(wire.HostAddress, 2003),
		steps: []wire.Step{wire.In(wire.Syn), wire.Out(wire.SynAck), wire.In(wire.Ack)}},
}

// packet is one of the flow's, of a session that there is.
func (f knownFlow) packet(p *pairOf, s wire.Step) natmodel.Arrival {
	remote := at(wire.RemoteAddress, cmp.Or(f.remote, 80))
	segment := wire.Segment{Protocol: f.protocol, Flags: s.Flags, From: at(parties[f.party].address, f.inside), To: remote}
	if s.Out {
		return firstInside(f.party, segment)
	}
	segment.From, segment.To = remote, f.mapped
	if !f.mapped.IsValid() {
		_, session, _ := operation{}.session(p.model)
		segment.To = session.External
	}
	return firstOutside(segment)
}

// know opens the flow's session in a world of its own.
func (w *twin) know(f knownFlow) (*pairOf, error) {
	p, err := w.begin(world{
		Rules:    rules{TCP: model.AddressDependent, UDP: model.AddressDependent, Refresh: true},
		Mappings: map[uint32]bool{1: true, 3: true}, Sessions: twinSessions, Bindings: twinBindings,
	})
	for _, s := range f.steps {
		if err == nil {
			err = p.step(f.packet(p, s))
		}
	}
	return p, err
}

// onOneCPU keeps the thread on a CPU: what is per CPU is that one's.
func onOneCPU(cpu int, do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	return errors.Join(do(), unix.SchedSetaffinity(0, &before))
}

// A packet of a session that is there writes to one cache line that other CPUs may
// have: its session's of its direction. All else that it writes is its CPU's own.
func TestEstablishedPacketsShareNothing(t *testing.T) {
	t.Parallel()
	w := newTwin(t)
	for name, f := range knownFlows {
		for _, s := range []wire.Step{wire.Out(wire.Ack), wire.In(wire.Ack)} {
			for _, later := range []time.Duration{0, 100 * time.Millisecond, 3 * time.Second} { // the route is looked up again after a second
				var written map[string][]byteRange
				check(t, w.host.Do(func() error {
					return onOneCPU(0, func() (err error) {
						written, err = w.writtenBy(f, s, later)
						return err
					})
				}))
				if text := sharedWrites(written, s.Out); text != "" {
					t.Errorf("%s, %v, %v later: %s", name, s, later, text)
				}
			}
		}
	}
}

// byteRange is a part of an element that differs.
type byteRange struct{ from, to int }

// lines of the session's value: see struct session.
var (
	outLine = byteRange{int(unsafe.Offsetof(kernel.Session{}.Refreshed)), int(unsafe.Offsetof(kernel.Session{}.Refreshed)) + 64}
	inLine  = byteRange{int(unsafe.Offsetof(kernel.Session{}.RefreshedIn)), int(unsafe.Offsetof(kernel.Session{}.RefreshedIn)) + 64}
)

func sharedWrites(written map[string][]byteRange, out bool) string {
	line := inLine
	if out {
		line = outLine
	}
	counted := false
	for table, ranges := range written {
		for _, r := range ranges {
			if table != "sessions" || r.from < line.from || r.to > line.to {
				return fmt.Sprintf("bytes %d to %d of an element of %s are another's", r.from, r.to, table)
			}
			counted = true
		}
	}
	if !counted {
		return "the packet was not counted"
	}
	return ""
}

// writtenBy is what differs in the shared tables after a packet of a known flow.
func (w *twin) writtenBy(f knownFlow, s wire.Step, later time.Duration) (map[string][]byteRange, error) {
	p, err := w.know(f)
	if err != nil {
		return nil, err
	}
	if _, err := p.run(f.packet(p, s)); err != nil { // this CPU has had one
		return nil, err
	}
	if err := w.clock.Set(w.clock.Now() + later); err != nil {
		return nil, err
	}
	before, err := w.sharedTables()
	if err != nil {
		return nil, err
	}
	if _, err := p.run(f.packet(p, s)); err != nil {
		return nil, err
	}
	after, err := w.sharedTables()
	if err != nil {
		return nil, err
	}
	written := make(map[string][]byteRange)
	for at, value := range after {
		was, there := before[at]
		delete(before, at)
		if !there || len(was) != len(value) {
			written[at.table] = append(written[at.table], byteRange{0, len(value)})
			continue
		}
		for i := range value {
			if value[i] != was[i] {
				written[at.table] = append(written[at.table], byteRange{i, i + 1})
			}
		}
	}
	for at, value := range before { // removed
		written[at.table] = append(written[at.table], byteRange{0, len(value)})
	}
	return written, nil
}

// element is where a value stands.
type element struct{ table, key string }

// sharedTables are the elements of all tables but those that each CPU has its own of.
func (w *twin) sharedTables() (map[element]string, error) {
	all := make(map[element]string)
	for name, m := range w.dp.objects.Tables() {
		switch m.Type() {
		case ebpf.PerCPUArray, ebpf.RingBuf, ebpf.Queue:
			continue // a ring and a queue cannot be read without a change; what fills them writes other tables too
		}
		if name == "drop_records" || name == "end_records" {
			continue // many; how many were written is in tables of their own
		}
		err := kernel.Rows(m, func(key, value []byte) error {
			all[element{name, string(key)}] = string(value)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return all, nil
}

// BenchmarkTwoCPUs compares what a packet takes alone, beside another CPU's packets of
// another session, and beside those of the other direction of its own.
func BenchmarkTwoCPUs(b *testing.B) {
	if runtime.NumCPU() < 2 {
		b.Skip("there is one CPU")
	}
	w := newTwin(b)
	for name, f := range knownFlows {
		b.Run(name, func(b *testing.B) {
			check(b, w.host.Do(func() error {
				p, err := w.know(f)
				if err != nil {
					return err
				}
				another := f
				another.remote = 81
				for _, s := range another.steps {
					if err := p.step(another.packet(p, s)); err != nil {
						return err
					}
				}
				out := f.packet(p, wire.Out(wire.Ack))
				others := map[string][]natmodel.Arrival{
					"alone": nil, "beside-another": {another.packet(p, wire.Out(wire.Ack))}, "beside-answers": {f.packet(p, wire.In(wire.Ack))},
				}
				took := make(map[string]time.Duration)
				for range b.N { // in turns, so that what else the machine does meets all
					for name, other := range others {
						one, err := w.timeBeside(out, other)
						if err != nil {
							return err
						}
						took[name] += one
					}
				}
				for name, all := range took {
					b.ReportMetric(float64(all.Nanoseconds())/float64(b.N)/besideRuns, "ns/"+name)
				}
				return nil
			}))
		})
	}
}

const besideRuns = 2000

// timeBeside runs a packet on one CPU many times, while another one runs others.
func (w *twin) timeBeside(a natmodel.Arrival, others []natmodel.Arrival) (took time.Duration, err error) {
	stop, ended := make(chan struct{}), make(chan error, len(others))
	for _, other := range others {
		go func() {
			ended <- w.host.Do(func() error {
				return onOneCPU(1, func() error { return w.repeat(other, func(int) bool { return !isClosed(stop) }) })
			})
		}()
	}
	err = onOneCPU(0, func() error {
		warm := w.repeat(a, func(n int) bool { return n < besideRuns/10 })
		start := time.Now()
		err := w.repeat(a, func(n int) bool { return n < besideRuns })
		took = time.Since(start)
		return errors.Join(warm, err)
	})
	close(stop)
	for range others {
		err = errors.Join(err, <-ended)
	}
	return took, err
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (w *twin) repeat(a natmodel.Arrival, more func(n int) bool) error {
	program, context := w.dp.objects.OutsideIngress, wire.Skbuff{Ifindex: w.outside}
	if a.Hook == natmodel.FromEndpoint {
		program, context.Ifindex = w.dp.objects.InsideIngress, w.endpoints[a.Endpoint]
	}
	for n := 0; more(n); n++ {
		if _, err := program.Run(&ebpf.RunOptions{Data: a.Frame, Context: &context}); err != nil {
			return err
		}
	}
	return nil
}
