package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of /proc/stat: USER_HZ is 100 on every architecture of Linux that
// Go knows.
const tick = 10 * time.Millisecond

// cpuTime is how long all CPUs have worked since the machine has booted: programs,
// kernel and interrupts, of whoever they are. What a program of the measurement and
// what the kernel does for it cannot be told apart where packets are handled in
// softirqs: so the whole machine counts, and the machine has to be quiet.
func cpuTime() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("CPU time of the machine: %w", err)
	}
	return parseCPUTime(stat)
}

// parseCPUTime reads the first line: cpu user nice system idle iowait irq softirq ...
func parseCPUTime(stat []byte) (time.Duration, error) {
	const user, nice, system, irq, softirq = 1, 2, 3, 6, 7
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) <= softirq || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("CPU time of the machine: /proc/stat begins with %q", line)
	}
	total := time.Duration(0)
	for _, i := range []int{user, nice, system, irq, softirq} {
		ticks, err := strconv.ParseUint(string(fields[i]), 10, 63)
		if err != nil {
			return 0, fmt.Errorf("CPU time of the machine: /proc/stat begins with %q", line)
		}
		total += time.Duration(ticks) * tick
	}
	return total, nil
}

// meter measures how much of something is done in a time, and what CPU time that takes.
type meter struct {
	began time.Time
	spent time.Duration // until then
}

func startMeter() (meter, error) {
	spent, err := cpuTime()
	return meter{began: time.Now(), spent: spent}, err
}

// read returns how much there was a second, and the CPU seconds that each took.
func (m meter) read(amount float64) ([]float64, error) {
	elapsed := time.Since(m.began)
	now, err := cpuTime()
	if err != nil {
		return nil, err
	}
	return []float64{amount / elapsed.Seconds(), (now - m.spent).Seconds() / amount}, nil
}
