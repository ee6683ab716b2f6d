package traffic

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/hostnat/hostnat/dev/lab"
)

// Sink counts UDP packets as they arrive at a link, before any socket, and
// drops them: those with the expected addresses apart from the others.
type Sink struct {
	*probe
	counts *ebpf.Map
}

// Arrivals is what a sink has counted.
type Arrivals struct {
	Right, Wrong uint64 // with the addresses expected, with others
}

// NewSink takes UDP to the ports low to high.
func NewSink(n *lab.Namespace, link string, source, destination netip.Addr, low, high uint16) (*Sink, error) {
	counts, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "bench_arrivals", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 2,
	})
	if err != nil {
		return nil, fmt.Errorf("make map of a sink: %w", err)
	}
	p, err := attachProbe(n, link, "bench_sink", sinkCode(counts, source, destination, low, high))
	if err != nil {
		return nil, errors.Join(err, counts.Close())
	}
	return &Sink{probe: p, counts: counts}, nil
}

func sinkCode(counts *ebpf.Map, source, destination netip.Addr, low, high uint16) asm.Instructions {
	code := append(asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}, onlyUDP(low, high)...)
	code = append(code,
		asm.StoreImm(asm.RFP, -4, 1, asm.Word), // wrong, until shown right
		asm.LoadAbs(atSource, asm.Word),
		asm.JNE.Imm32(asm.R0, immediate(source), "count"),
		asm.LoadAbs(atDestination, asm.Word),
		asm.JNE.Imm32(asm.R0, immediate(destination), "count"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
	)
	count := lookup(counts)
	count[0] = count[0].WithSymbol("count")
	code = append(code, count...)
	code = append(code,
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
	)
	return append(code, leave(VerdictDrop)...)
}

// Read returns what has arrived so far.
func (s *Sink) Read() (Arrivals, error) {
	var totals [2]uint64
	for i := range totals {
		var perCPU []uint64
		if err := s.counts.Lookup(uint32(i), &perCPU); err != nil {
			return Arrivals{}, fmt.Errorf("read a sink: %w", err)
		}
		for _, n := range perCPU {
			totals[i] += n
		}
	}
	return Arrivals{Right: totals[0], Wrong: totals[1]}, nil
}

// Close takes the program off the link.
func (s *Sink) Close() error { return errors.Join(s.probe.close(), s.counts.Close()) }

// Check fails if of the packets sent since before more than one in a hundred
// is missing, or came with other addresses than expected.
func (a Arrivals) Check(before Arrivals, sent int) error {
	right, wrong := a.Right-before.Right, a.Wrong-before.Wrong
	if sent == 0 || right*100 < uint64(sent)*99 || wrong*100 > uint64(sent) {
		return fmt.Errorf("of %d packets sent %d arrived with the right addresses, and %d with others", sent, right, wrong)
	}
	return nil
}
