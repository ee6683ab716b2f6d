package bench

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// cpus are the two CPUs that traffic runs on. On a machine with one CPU they
// are the same.
type cpus struct {
	near, far int // of the sender and of the receiver
}

// anyCPU leaves a thread to the scheduler.
const anyCPU = -1

// chooseCPUs takes the last two CPUs that the process may use; interrupts tend
// to go to the first.
func chooseCPUs() (cpus, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return cpus{}, fmt.Errorf("CPUs of the process: %w", err)
	}
	var usable []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			usable = append(usable, cpu)
		}
	}
	last := len(usable) - 1
	return cpus{near: usable[last], far: usable[max(last-1, 0)]}, nil
}

// inside runs fn on an OS thread of its own in n, bound to a CPU.
func inside(n *lab.Namespace, cpu int, fn func() error) error {
	return n.Do(func() error {
		if cpu == anyCPU {
			return fn()
		}
		var before, only unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			return fmt.Errorf("CPUs of a thread: %w", err)
		}
		only.Set(cpu)
		if err := unix.SchedSetaffinity(0, &only); err != nil {
			return fmt.Errorf("bind a thread to CPU %d: %w", cpu, err)
		}
		return errors.Join(fn(), unix.SchedSetaffinity(0, &before))
	})
}

// together runs functions at once, waits for all and joins their errors.
func together(fns ...func() error) error {
	errs := make([]error, len(fns))
	var running sync.WaitGroup
	for i, fn := range fns {
		running.Go(func() { errs[i] = fn() })
	}
	running.Wait()
	return errors.Join(errs...)
}
