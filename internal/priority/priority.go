// Package priority has the daemon's threads go before those of other programs, and those
// that work for others be as any.
package priority

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// nice is what the daemon takes (nice(1)): nine times an ordinary program's share of a
// processor that is short. It needs little, so that others do not miss it.
const nice = -10

// Raise has all threads of this process go before those of ordinary programs, and those that
// will be made. A process that was given another priority already keeps it, and so does one
// that may not change it: the error then says so.
func Raise() error {
	if now, err := niceOf(0); err != nil || now != 0 {
		return err
	}
	for changed := true; changed; { // a thread that was not changed yet may have made another
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list the daemon's threads: %w", err)
		}
		changed = false
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("list the daemon's threads: %w", err)
			}
			switch now, err := niceOf(id); {
			case errors.Is(err, unix.ESRCH) || now == nice: // it has ended
				continue
			case err != nil:
				return err
			}
			if err := unix.Setpriority(unix.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("give the daemon's threads priority: %w", err)
			}
			changed = true
		}
	}
	return nil
}

// Ordinary has the calling goroutine work at an ordinary program's priority, on a thread of
// its own, until the function that it returns is called: what it does is others' wish.
func Ordinary() (done func(), err error) {
	runtime.LockOSThread()
	now, err := niceOf(0)
	if err == nil && now < 0 {
		err = unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("give up priority: %w", err)
	}
	return func() {
		// A thread that cannot be raised again ends with its goroutine, which stays locked to it.
		if now >= 0 || unix.Setpriority(unix.PRIO_PROCESS, 0, now) == nil {
			runtime.UnlockOSThread()
		}
	}, nil
}

// niceOf reads a thread's; 0 is the calling one. The system call's answer is 20 less it.
func niceOf(thread int) (int, error) {
	v, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if err != nil {
		return 0, fmt.Errorf("read a thread's priority: %w", err)
	}
	return 20 - v, nil
}
