package traffic

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/hostnat/hostnat/dev/lab"
)

// Stamp notes when numbered UDP packets come in at a link: before any other
// program and any part of the stack, by the kernel's monotonic clock. A packet
// socket would be no good for it: a packet that bpf_redirect_peer hands over
// still bears the time of its first arrival.
type Stamp struct {
	*probe
	times *ebpf.Map // nanoseconds by number
}

// NewStamp takes UDP to a port, with numbers below count in the first four
// bytes of its payload, and gives it the verdict then.
func NewStamp(n *lab.Namespace, link string, port uint16, count uint32, verdict int32) (*Stamp, error) {
	times, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "bench_times", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: count,
	})
	if err != nil {
		return nil, fmt.Errorf("make map of a stamp: %w", err)
	}
	p, err := attachProbe(n, link, "bench_stamp", stampCode(times, port, verdict))
	if err != nil {
		return nil, errors.Join(err, times.Close())
	}
	return &Stamp{probe: p, times: times}, nil
}

func stampCode(times *ebpf.Map, port uint16, verdict int32) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnKtimeGetNs.Call(),
		asm.Mov.Reg(asm.R7, asm.R0),
	}
	code = append(code, onlyUDP(port, port)...)
	code = append(code,
		asm.LoadAbs(atPayload, asm.Word),
		asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
	)
	code = append(code, lookup(times)...)
	code = append(code, asm.StoreMem(asm.R0, 0, asm.R7, asm.DWord))
	return append(code, leave(verdict)...)
}

// Read returns the time of each number in nanoseconds, 0 for one that never came.
func (s *Stamp) Read() ([]uint64, error) {
	times := make([]uint64, s.times.MaxEntries())
	for i := range times {
		if err := s.times.Lookup(uint32(i), &times[i]); err != nil {
			return nil, fmt.Errorf("read a stamp: %w", err)
		}
	}
	return times, nil
}

// Close takes the program off the link.
func (s *Stamp) Close() error { return errors.Join(s.probe.close(), s.times.Close()) }
