package priority

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// All threads are raised, those too that are made afterwards; who gives it up does so alone,
// and the threads that are made meanwhile have it.
func TestRaise(t *testing.T) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -1); err != nil {
		if os.Geteuid() == 0 {
			t.Fatal(err) // the daemon could not either
		}
		t.Skip("only root may raise a thread: ", err)
	}
	// -1 on this thread, whichever it is, is "was given another priority": back to 0.
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := Raise(); err != nil {
		t.Fatal(err)
	}
	own := make(chan int)
	end := make(chan struct{})
	defer close(end)
	go func() {
		done, err := Ordinary()
		if err != nil {
			t.Error(err)
			close(own)
			return
		}
		defer done()
		own <- unix.Gettid()
		<-end
	}()
	ordinary := <-own
	// More threads: each of these goroutines keeps one in a system call.
	for range 4 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		fd := int(r.Fd()) // blocking from now on
		go func() { defer r.Close(); _, _ = unix.Read(fd, make([]byte, 1)) }()
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		want := nice
		if id == ordinary {
			want = 0
		}
		if got, err := niceOf(id); got != want && !errors.Is(err, unix.ESRCH) {
			t.Errorf("thread %d has %d (%v), want %d", id, got, err, want)
		}
	}
}
