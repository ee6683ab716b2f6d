package wire

import (
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// clockTable has the time of a data path under test. No program of the product
// knows it: it is put in where the data path asks the kernel (now() of bpf/maps.h).
const clockTable = ".test_clock"

// Clock is the time of a data path under test, which stands still until the test
// moves it.
type Clock struct {
	table *ebpf.Map
	now   time.Duration
}

// NewClock makes a clock that shows now.
func NewClock(now time.Duration) (*Clock, error) {
	table, err := ebpf.NewMap(clockSpec())
	if err != nil {
		return nil, fmt.Errorf("making a clock for a test: %w", err)
	}
	c := &Clock{table: table}
	return c, c.Set(now)
}

// Rule makes the programs of spec go by the clock. Its table, which is added to
// tables, replaces the one of that name when spec is loaded.
func (c *Clock) Rule(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) map[string]*ebpf.Map {
	askForTime(spec, asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0),
		asm.LoadMem(asm.R0, asm.R1, 0, asm.DWord),
		asm.Return(),
	})
	tables[clockTable] = c.table
	return tables
}

func clockSpec() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: clockTable, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
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

// Uptime makes the programs of spec see a machine that was started a moment ago,
// if HOSTNAT_UPTIME says how long (1s): their clock runs with the kernel's,
// behind it. It returns how far ahead it is, below 0 then.
func Uptime(spec *ebpf.CollectionSpec) time.Duration {
	uptime, err := time.ParseDuration(os.Getenv("HOSTNAT_UPTIME"))
	if err != nil {
		return 0
	}
	ahead := uptime - started
	m := askForTime(spec, asm.Instructions{
		asm.FnKtimeGetCoarseNs.Call(),
		asm.Mov.Reg(asm.R6, asm.R0),
		asm.LoadMapPtr(asm.R1, 0),
		asm.LoadMem(asm.R0, asm.R1, 0, asm.DWord),
		asm.Add.Reg(asm.R0, asm.R6),
		asm.Return(),
	})
	m.Contents = []ebpf.MapKV{{Key: uint32(0), Value: uint64(ahead)}}
	return ahead
}

// StandStill makes the programs of spec see the time at which the tests were
// started, for ever: nothing ends by itself however busy the machine is.
func StandStill(spec *ebpf.CollectionSpec) {
	m := askForTime(spec, asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0),
		asm.LoadMem(asm.R0, asm.R1, 0, asm.DWord),
		asm.Return(),
	})
	m.Contents = []ebpf.MapKV{{Key: uint32(0), Value: uint64(started)}}
}

// started is the kernel's time when the tests were started.
var started = func() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail on Linux
	return time.Duration(ts.Nano())
}()

// askForTime puts a function into each program that is called instead of the
// kernel's for the time, and returns the table that it reads.
func askForTime(spec *ebpf.CollectionSpec, function asm.Instructions) *ebpf.MapSpec {
	u64 := &btf.Int{Name: "unsigned long", Size: 8}
	declared := &btf.Func{Name: "test_now", Type: &btf.FuncProto{Return: u64}, Linkage: btf.StaticFunc}
	callInstead(spec, asm.FnKtimeGetCoarseNs, declared, clockTable, function)
	m := clockSpec()
	spec.Maps[clockTable] = m
	return m
}
