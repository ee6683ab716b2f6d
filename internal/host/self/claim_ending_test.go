package self

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/host/hosttest"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// holdEnding says that the test program is to be a daemon that is ending: it has
// the claim, its first thread is gone, and the others end with its standard input.
const holdEnding = "HOSTNAT_TEST_HOLD_ENDING"

func init() { // On the first thread
	if os.Getenv(holdEnding) == "" {
		return
	}
	held := make(chan struct{})
	go func() {
		if _, err := ClaimHost(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		close(held)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	<-held
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

// Who starts a daemon right after the one before was killed does not have to try
// again: its claim is waited for while it ends.
func TestClaimOfADaemonThatEnds(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	cmd := n.Command(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdEnding+"=1")
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	hosttest.Must(t, err1, err2, cmd.Start())
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other one says %q, %v", line, err)
	}
	if err := lab.WaitFor(t.Context(), func() bool { return isEnding(int32(cmd.Process.Pid)) }); err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(200*time.Millisecond, func() { _ = in.Close() }) // time in which it would be refused
	defer end.Stop()
	hosttest.On(t, n, func() error {
		c, err := ClaimHost()
		if err == nil {
			c.Release()
		}
		return err
	})
	if isEnding(int32(os.Getpid())) {
		t.Error("this process is said to be ending")
	}
}
