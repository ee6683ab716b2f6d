package portproxy

import (
	"bufio"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A relay that runs out of file descriptors takes no more connections for a
// while. Those that stand go on; the others wait, and get their turn.
func TestOutOfDescriptors(t *testing.T) {
	t.Parallel()
	heard, told, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	listen := relayChild(t, "few descriptors", serve(t, "127.0.0.1:0", echo), told)
	told.Close()
	said := bufio.NewReader(heard)
	hear := func(want string) {
		t.Helper()
		_ = heard.SetReadDeadline(time.Now().Add(patience))
		if line, err := said.ReadString('\n'); !strings.Contains(line, want) {
			t.Fatalf("the relay says %q, want %q, %v", line, want, err)
		}
	}
	hear("limited")
	first := dial(t, listen)
	say := func(size int) {
		t.Helper()
		_ = first.SetDeadline(time.Now().Add(patience))
		go func() { _, _ = first.Write(make([]byte, size)) }()
		if _, err := io.ReadFull(first, make([]byte, size)); err != nil {
			t.Fatalf("the first connection, %d bytes: %v", size, err)
		}
	}
	say(1)

	const others = 40
	var answered atomic.Int32
	full := make(chan struct{})
	var all sync.WaitGroup
	for range others {
		c := dial(t, listen)
		_ = c.SetDeadline(time.Now().Add(3 * patience))
		all.Go(func() {
			defer c.Close()
			_, _ = c.Write([]byte("x"))
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Errorf("a connection that had to wait: %v", err)
			}
			answered.Add(1)
			<-full
		})
	}
	hear("too many open files")
	eventually(t, func() bool { return answered.Load() > 0 })
	if answered.Load() == others {
		t.Error("all connections were taken")
	}
	say(1)
	say(1 << 20)
	close(full)
	all.Wait()
	say(1)
}

// fewDescriptors has the relay run out of file descriptors after a dozen
// connections, and say so.
func fewDescriptors(e *Engine) error {
	go func() {
		for !e.States()[1].Listening {
			time.Sleep(time.Millisecond)
		}
		if err := limitDescriptors(descriptors() + 24); err != nil {
			println(err.Error())
		}
		_, _ = os.Stdout.WriteString("limited\n")
		for e.States()[1].LastError == "" {
			time.Sleep(time.Millisecond)
		}
		_, _ = os.Stdout.WriteString(e.States()[1].LastError + "\n")
	}()
	return nil
}

func limitDescriptors(count int) error {
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(count), Max: uint64(count)})
}
