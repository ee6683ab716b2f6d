package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/server/servertest"
)

// testEnv is an env of a user who is not root.
func testEnv(out, errs *bytes.Buffer, args ...string) env {
	return env{Args: args, Stdin: strings.NewReader(""), Stdout: out, Stderr: errs,
		Getenv: func(string) string { return "" }, Euid: 1000}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args   []string
		code   int
		stderr string // all of it, or its beginning
	}{
		{nil, exitDone, ""},
		{[]string{"--help"}, exitDone, ""},
		{[]string{"network", "list", "--socket", "/nonexistent/s"}, exitRefused, "hostnat: hostnat daemon is not running (no socket at /nonexistent/s); start it with: hostnat daemon\n"},
		{[]string{"daemon"}, exitRefused, "hostnat: hostnat daemon must be run as root; use sudo\n"},
		{[]string{"demo"}, exitRefused, "hostnat: hostnat demo must be run as root; use sudo\n"},
		{[]string{"down", "--socket", "/nonexistent/s"}, exitRefused, "hostnat: hostnat down, without a running daemon, must be run as root; use sudo\n"},
		{[]string{"nothing"}, exitUsage, `hostnat: "nothing" is not a command;`},
		{[]string{"network"}, exitUsage, "hostnat: network needs a command: create, delete, list, renumber, set, show; usage: hostnat network COMMAND [flags]\n"},
		{[]string{"network", "list", "x"}, exitUsage, `hostnat: unexpected argument "x"; usage: hostnat network list [flags]` + "\n"},
		{[]string{"network", "list", "--nope"}, exitUsage, "hostnat: unknown flag: --nope; usage: hostnat network list [flags]\n"},
		{[]string{"--nope", "status"}, exitUsage, "hostnat: unknown flag: --nope; usage: hostnat COMMAND [flags]\n"},
		{[]string{"--nope"}, exitUsage, "hostnat: unknown flag: --nope; usage: hostnat COMMAND [flags]\n"},
		{[]string{"-x", "status"}, exitUsage, "hostnat: unknown shorthand flag: 'x' in -x; usage: hostnat COMMAND [flags]\n"},
		{[]string{"network", "--nope", "list"}, exitUsage, "hostnat: unknown flag: --nope; usage: hostnat network COMMAND [flags]\n"},
		{[]string{"nothing", "--nope"}, exitUsage, `hostnat: "nothing" is not a command;`},
		{[]string{"network", "create", "x", "--subnet", ""}, exitUsage, "hostnat: --subnet is empty; usage: hostnat network create NAME [flags]\n"},
		{[]string{"network", "create", "x", "--subnet", "10.0.0.0/24", "--range", ""}, exitUsage, "hostnat: --range is empty;"},
		{[]string{"endpoint", "attach", "web", "x", "--netns", ""}, exitUsage, "hostnat: --netns is empty;"},
		{[]string{"network", "set", "web", "range="}, exitUsage, "hostnat: range has no value; usage: hostnat network set NAME KEY=VALUE..."},
		{[]string{"nat", "set", "default", "table="}, exitUsage, "hostnat: table has no value;"},
		{[]string{"--socket", "", "status"}, exitUsage, "hostnat: --socket is empty;"},
		{[]string{"-o"}, exitUsage, "hostnat: flag needs an argument: 'o' in -o; usage: hostnat COMMAND [flags]\n"},
		{[]string{"-o", "xml", "network", "list"}, exitUsage, "hostnat: invalid argument"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := run(t.Context(), testEnv(&out, &errs, tt.args...))
			if code != tt.code || !strings.HasPrefix(errs.String(), tt.stderr) {
				t.Errorf("got %d %q, want %d %q", code, errs.String(), tt.code, tt.stderr)
			}
			if lines := strings.Count(errs.String(), "\n"); code != exitDone && lines != 1 {
				t.Errorf("%d lines on stderr: %q", lines, errs.String())
			}
		})
	}
}

// Whatever the command, a flag that it does not have is wrong usage: nothing is done, and the
// flag is named.
func TestUnknownFlagsAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	var commands int
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		for _, words := range [][]string{append(slices.Clone(path), "--nope"), append(slices.Clone(path), "--nope=1", "x"), append([]string{"--nope"}, path...), append(slices.Clone(path), "-Z")} {
			commands++
			var out, errs bytes.Buffer
			code := run(t.Context(), testEnv(&out, &errs, words...))
			if code != exitUsage || strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), "nope") && !strings.Contains(errs.String(), "-Z") {
				t.Errorf("hostnat %s: exit code %d, %q", strings.Join(words, " "), code, errs.String())
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub, append(slices.Clone(path), sub.Name()))
		}
	}
	var none bytes.Buffer
	root := rootCommand(testEnv(&none, &none))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	walk(root, nil)
	if commands < 300 {
		t.Errorf("%d command lines were tried", commands)
	}
}

// lockedBuffer may be read while the program writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestEventWatch(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	stop, err := serve(servertest.Example(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	var out lockedBuffer
	var errs bytes.Buffer
	ctx, interrupt := context.WithCancel(t.Context())
	e := testEnv(nil, &errs, "event", "watch", "-o", "json", "--socket", socket)
	e.Stdout = &out
	code := make(chan int, 1)
	go func() { code <- run(ctx, e) }()
	deadline := time.Now().Add(10 * time.Second)
	for strings.Count(out.String(), "\n") < 2 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	interrupt()
	if got := <-code; got != exitDone {
		t.Errorf("exit code %d: %s", got, errs.String())
	}
	want := `{"time":"2026-11-21T12:00:00Z","id":1001,"name":"SessionCreate","level":"information","protocol":"tcp","nat":"default","network":"web","compartment":"default","internal":"172.16.1.2:40000","internalDestination":"192.0.2.7:443","external":"198.51.100.7:50123","externalDestination":"192.0.2.7:443","lifetimeSeconds":6,"tcpState":"none","short":"session created: tcp 172.16.1.2:40000 → 192.0.2.7:443, outside 198.51.100.7:50123","message":"TCP session created. Internal source 172.16.1.2:40000 (compartment default), internal destination 192.0.2.7:443, external source 198.51.100.7:50123, external destination 192.0.2.7:443, lifetime 6 s, TCP state Closed/NA."}
{"time":"2026-11-21T12:00:00Z","id":1033,"name":"OutOfPorts","level":"warning","protocol":"udp","nat":"default","short":"NAT default has no free UDP port: all ports it may use are taken.","message":"NAT default has no free UDP port: all ports it may use are taken."}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
