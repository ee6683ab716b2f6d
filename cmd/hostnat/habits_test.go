package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/server/servertest"
)

// TestExamples: the help of each command has examples, and each is a command line of that
// command which it would take.
func TestExamples(t *testing.T) {
	t.Parallel()
	count := 0
	var walk func(path []string)
	find := func(words []string) (*cobra.Command, []string, error) {
		var none bytes.Buffer
		root := rootCommand(testEnv(&none, &none)) // a new one, since flags keep what they were given
		if len(words) == 0 {
			return root, nil, nil
		}
		return root.Find(words)
	}
	walk = func(path []string) {
		cmd, _, err := find(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, below := range cmd.Commands() {
			walk(append(path[:len(path):len(path)], below.Name()))
		}
		if cmd.HasSubCommands() {
			return
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			line, _, _ = strings.Cut(line, "#")
			_, after, ours := strings.Cut(line, "hostnat ")
			if !ours || strings.Contains(line, "|") {
				continue
			}
			after, _, _ = strings.Cut(strings.TrimSpace(after), " >")
			count++
			of, rest, err := find(strings.Fields(strings.ReplaceAll(after, "'", "")))
			if err != nil || of.CommandPath() != cmd.CommandPath() && !strings.HasPrefix(cmd.CommandPath(), "hostnat docker network") && !strings.HasPrefix(cmd.CommandPath(), "hostnat docker enable") {
				t.Errorf("%s has the example %q, which is one of %s, %v", cmd.CommandPath(), after, of.CommandPath(), err)
				continue
			}
			if err := of.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", after, err)
				continue
			}
			if err := of.ValidateArgs(of.Flags().Args()); err != nil {
				t.Errorf("%q: %v", after, err)
			}
		}
	}
	walk(nil)
	if count < 80 {
		t.Errorf("%d examples", count)
	}
}

// TestWatch: a list that is watched is shown again, in its order, until interrupted.
func TestWatch(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	stop, err := serve(servertest.Example(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out lockedBuffer
	var errs bytes.Buffer
	e := testEnv(nil, &errs, "--socket", socket, "network", "list", "--watch", "--sort", "-name")
	e.Stdout = &out
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, e) }()
	deadline := time.Now().Add(time.Minute)
	for strings.Count(out.String(), "NAME") < 2 {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute: %q", out.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}
