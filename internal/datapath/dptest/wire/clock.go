package wire

import (
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// Clock is the time of a data path under test, which stands still until the test
// moves it.
type Clock = kernel.Clock

// NewClock makes a clock that shows now.
func NewClock(now time.Duration) (*Clock, error) { return kernel.NewClock(now) }

// Uptime makes the programs of spec see a machine that was started a moment ago,
// if HOSTNAT_UPTIME says how long (1s): their clock runs with the kernel's,
// behind it. It returns how far ahead it is, below 0 then.
func Uptime(spec *ebpf.CollectionSpec) time.Duration {
	uptime, err := time.ParseDuration(os.Getenv("HOSTNAT_UPTIME"))
	if err != nil {
		return 0
	}
	ahead := uptime - started
	m := kernel.AskForTime(spec, asm.Instructions{
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
	m := kernel.AskForTime(spec, asm.Instructions{
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
