package kernel

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// clockTable has the time of a data path that does not go by the kernel's. The programs
// on a host's links do not know it.
const clockTable = ".own_clock"

// Clock is the time of a data path that is under test or that replays, which stands
// still until it is moved.
type Clock struct {
	table *ebpf.Map
	now   time.Duration
}

// NewClock makes a clock that shows now.
func NewClock(now time.Duration) (*Clock, error) {
	table, err := ebpf.NewMap(oneElement(clockTable, 8))
	if err != nil {
		return nil, fmt.Errorf("making a clock for the data path: %w", err)
	}
	c := &Clock{table: table}
	return c, c.Set(now)
}

// Rule makes the programs of spec go by the clock. Its table, which is added to
// tables, replaces the one of that name when spec is loaded.
func (c *Clock) Rule(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) map[string]*ebpf.Map {
	AskForTime(spec, asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0),
		asm.LoadMem(asm.R0, asm.R1, 0, asm.DWord),
		asm.Return(),
	})
	tables[clockTable] = c.table
	return tables
}

// Now is what the clock shows.
func (c *Clock) Now() time.Duration { return c.now }

// Set moves the clock.
func (c *Clock) Set(now time.Duration) error {
	c.now = now
	return c.table.Put(uint32(0), uint64(now))
}

// Close lets go of the clock's table.
func (c *Clock) Close() error { return c.table.Close() }
