package demo_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hostnat/hostnat/dev/lab"
)

// These tests run the program as a user does: `hostnat demo`, in a namespace
// that stands for the user's machine.

func TestDemoKeepsItsPromises(t *testing.T) {
	t.Parallel()
	run := startDemo(t)
	start := time.Now()
	out := run.readAll()
	if err := run.cmd.Wait(); err != nil {
		t.Fatalf("hostnat demo: %v\n%s%s", err, out, run.stderr)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	for _, want := range []string{"8. Nothing is left", "this machine's own network is as before", "\nAll of the "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("there are escape codes in the output to a pipe")
	}
	for l := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 100 {
			t.Errorf("a line of %d characters: %s", n, l)
		}
	}
	if run.stderr.Len() > 0 {
		t.Errorf("on stderr: %s", run.stderr)
	}
	run.checkNothingLeft()
}

func TestDemoCleansUpWhenInterrupted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		after     string // beginning of the line after which it is interrupted
		interrupt func(*demoRun) error
	}{
		"^C in the middle": {"5. ", func(r *demoRun) error { return r.cmd.Process.Signal(os.Interrupt) }},
		"output closed":    {"3. ", func(r *demoRun) error { return r.stdout.Close() }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := startDemo(t)
			run.readTo(tt.after)
			if err := tt.interrupt(run); err != nil {
				t.Fatal(err)
			}
			_ = run.readAll() // a full pipe would hold it up
			err := run.cmd.Wait()
			const want = "hostnat: interrupted; what the demo made is removed\n"
			if got := run.cmd.ProcessState.ExitCode(); got != 1 || run.stderr.String() != want {
				t.Errorf("%v, exit code %d, stderr %q", err, got, run.stderr)
			}
			run.checkNothingLeft()
		})
	}
}

func TestDemoFailsClearlyWithoutItsDaemon(t *testing.T) {
	t.Parallel()
	run := prepareDemo(t)
	// A daemon that cannot put its socket into so long a path.
	long := filepath.Join(run.dir, strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	run.cmd.Env = append(run.cmd.Env, "TMPDIR="+long)
	run.start()
	_ = run.readAll()
	_ = run.cmd.Wait()
	if run.cmd.ProcessState.ExitCode() != 1 || strings.Count(run.stderr.String(), "\n") != 1 {
		t.Errorf("exit code %d, stderr %q", run.cmd.ProcessState.ExitCode(), run.stderr)
	}
	if err := os.Remove(long); err != nil {
		t.Errorf("something is left: %v", err)
	}
	run.checkNothingLeft()
}

// demoRun is a demo that runs as a process.
type demoRun struct {
	t      *testing.T
	dir    string // its TMPDIR
	user   *lab.Namespace
	cmd    *exec.Cmd
	stdout *os.File
	lines  *bufio.Reader
	stderr *bytes.Buffer
}

func startDemo(t *testing.T) *demoRun {
	run := prepareDemo(t)
	run.start()
	return run
}

func prepareDemo(t *testing.T) *demoRun {
	lab.RequireRoot(t)
	user, err := lab.NewNamespace("demo-user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := user.Close(); err != nil {
			t.Error(err)
		}
	})
	// t.TempDir would have a longer name than a socket's path may have.
	dir, err := os.MkdirTemp("", "dt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	run := &demoRun{t: t, dir: dir, user: user, stderr: &bytes.Buffer{}}
	run.cmd = user.Command(ctx, program(t), "demo")
	run.cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	run.cmd.Stderr = run.stderr
	return run
}

func (r *demoRun) start() {
	r.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	defer write.Close()
	r.t.Cleanup(func() { _ = read.Close() })
	r.stdout, r.lines, r.cmd.Stdout = read, bufio.NewReader(read), write
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *demoRun) readTo(prefix string) {
	r.t.Helper()
	for {
		l, err := r.lines.ReadString('\n')
		if err != nil {
			r.t.Fatalf("the demo ended before %q: %v; %s", prefix, err, r.stderr)
		}
		if strings.HasPrefix(l, prefix) {
			return
		}
	}
}

func (r *demoRun) readAll() string {
	var out bytes.Buffer
	_, _ = r.lines.WriteTo(&out)
	return out.String()
}

// checkNothingLeft looks for files, mounts, processes, namespaces and links.
func (r *demoRun) checkNothingLeft() {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil || len(files) > 0 {
		r.t.Errorf("files are left: %v %v", files, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(r.dir)) {
		r.t.Errorf("a mount is left: %v", err)
	}
	namespaces, err := filepath.Glob(fmt.Sprintf("/run/netns/demo-*-%d-*", r.cmd.Process.Pid))
	if err != nil || len(namespaces) > 0 {
		r.t.Errorf("namespaces are left: %v %v", namespaces, err)
	}
	if links, err := r.user.Links(); err != nil || !slices.Equal(links, []string{"lo"}) {
		r.t.Errorf("links of the user's namespace: %v %v", links, err)
	}
	if processes := processesWith(r.dir); len(processes) > 0 {
		r.t.Errorf("processes are left: %q", processes)
	}
}

// processesWith returns the command lines that contain text.
func processesWith(text string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(text)) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// buildProgram builds hostnat once for all tests of the package.
var buildProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hostnat-demo-test-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "hostnat")
	out, err := exec.Command("go", "build", "-o", file, "github.com/hostnat/hostnat/cmd/hostnat").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build hostnat: %w: %s", err, out)
	}
	return file, err
})

func program(t *testing.T) string {
	t.Helper()
	file, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := buildProgram(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}
