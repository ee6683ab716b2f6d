package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

const memoryFlows = 30_000

// memoryMeasurement takes what the kernel's slabs grow by for each new session
// that has a binding of its own: its elements in all tables, timers, and what
// the allocator adds. The tables' buckets are not in it; they are there before.
func (b *Bench) memoryMeasurement(s setup) measurement {
	return measurement{
		rows: []Row{{Name: "memory for a session with its binding", Unit: "bytes", Lower: true}},
		only: s.name,
		take: s.fresh("", b.sessionMemory),
	}
}

func (b *Bench) sessionMemory(ctx context.Context, p path) (figures []float64, err error) {
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	o, err := newOpener(p, e, memoryFlows)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	runtime.GC()
	settle()
	before, err := slabBytes()
	if err != nil {
		return nil, err
	}
	if err := inside(p.client, b.cpus.near, func() error {
		return o.fill(memoryFlows)
	}); err != nil {
		return nil, err
	}
	settle()
	after, err := slabBytes()
	return []float64{(after - before) / memoryFlows}, err
}

// settle lets the kernel free what it frees after a grace period.
func settle() { time.Sleep(300 * time.Millisecond) }

// slabBytes is what the kernel's slabs take, the reclaimable ones left out.
func slabBytes() (float64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var kilobytes float64
		if strings.HasPrefix(lines.Text(), "SUnreclaim:") {
			if _, err := fmt.Sscanf(lines.Text(), "SUnreclaim: %f kB", &kilobytes); err != nil {
				return 0, fmt.Errorf("read /proc/meminfo: %w", err)
			}
			return kilobytes * 1024, nil
		}
	}
	return 0, errors.Join(errors.New("/proc/meminfo tells nothing of slabs"), lines.Err())
}
