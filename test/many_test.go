package test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// togetherCommand runs so many commands at the same time. Each works, or is
// refused in one line; stdout has how many did what, and the lines are on
// stderr.
func togetherCommand(m *machine, ts *testscript.TestScript, args []string) error {
	count, err := number(args[0])
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	codes, errs := make([]int, count), make([]string, count)
	for i := range count {
		argv := strings.Split(strings.ReplaceAll(strings.Join(args[1:], "\x00"), "{}", strconv.Itoa(i+1)), "\x00")
		running.Go(func() {
			codes[i], _, errs[i] = m.hostnat(context.Background(), argv...)
		})
	}
	running.Wait()
	done := 0
	for i, code := range codes {
		switch {
		case code == 0 && errs[i] == "":
			done++
		case code != 1 || strings.Count(errs[i], "\n") != 1:
			err = errors.Join(err, fmt.Errorf("number %d: exit code %d, stderr %q", i+1, code, errs[i]))
		}
		fmt.Fprint(ts.Stderr(), errs[i])
	}
	fmt.Fprintf(ts.Stdout(), "%d done, %d refused\n", done, count-done)
	return err
}

// churnCommand kills the daemon after a while in which it was told to change
// things without a pause.
func churnCommand(m *machine, ts *testscript.TestScript, args []string) error {
	wait, err := number(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() { m.churn(ctx, worker) })
	}
	time.Sleep(time.Duration(wait) * time.Millisecond)
	err = daemonCommand(m, ts, []string{"kill"})
	cancel()
	running.Wait()
	return err
}

// churn makes and deletes things until the daemon is gone.
func (m *machine) churn(ctx context.Context, worker int) {
	network, endpoint := fmt.Sprintf("churn%d", worker), fmt.Sprintf("e%d", worker)
	for ctx.Err() == nil {
		for _, argv := range [][]string{
			{"network", "create", network},
			{"endpoint", "attach", network, endpoint, "--netns", m.ns("c1").Name, "--ifname", "n" + strconv.Itoa(worker)},
			{"mapping", "add", "--protocol", "tcp", "--external", strconv.Itoa(9000 + worker), "--internal", endpoint + ":80"},
			{"network", "delete", network, "--force"},
		} {
			m.hostnat(ctx, argv...) // what comes of it does not matter here
		}
	}
}
