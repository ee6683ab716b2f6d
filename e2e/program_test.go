//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// need returns a program's path. If it is missing, the test is skipped, or
// fails where everything is required.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	// Where a user's PATH does not lead, but sudo keeps it.
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", program)); err == nil {
		return path
	}
	missing(t, "%v; scripts/e2e-install.sh installs it", err)
	return ""
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("E2E") == "required" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// process is a program that runs until the test ends, or stop.
type process struct {
	name   string
	cmd    *exec.Cmd
	output string        // file with what it printed
	ended  chan struct{} // closed once it has
}

// start runs a program inside a namespace, with an environment of its own. The
// end of its output is shown if the test fails.
func start(t *testing.T, n *lab.Namespace, name string, argv ...string) *process {
	t.Helper()
	p := launch(t, n, name, argv...)
	t.Cleanup(func() { p.end(t) })
	return p
}

// end is what happens to a program when the test ends.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.stop(t)
	if t.Failed() {
		t.Logf("%s printed:\n%s", p.name, p.tail(t, 60))
	}
}

// launch is start for who ends the program itself.
func launch(t *testing.T, n *lab.Namespace, name string, argv ...string) *process {
	t.Helper()
	p := &process{
		name:   name,
		cmd:    n.Command(context.Background(), argv...),
		output: filepath.Join(t.TempDir(), name+".out"),
		ended:  make(chan struct{}),
	}
	out, err := os.Create(p.output)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + t.TempDir()}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	return p
}

// stop asks the process to end and makes it, if it has not after ten seconds.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error: it has ended
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		t.Errorf("%s does not end when told to", p.name)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) printed(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(p.output)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func (p *process) tail(t *testing.T, lines int) string {
	t.Helper()
	all := strings.Split(p.printed(t), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// waitPrinted waits for a line that begins with prefix and returns its rest.
func (p *process) waitPrinted(t *testing.T, prefix string, limit time.Duration) string {
	t.Helper()
	rest := ""
	waitFor(t, limit, p.name+" to print "+prefix, func() bool {
		for line := range strings.Lines(p.printed(t)) {
			if after, found := strings.CutPrefix(line, prefix); found && strings.HasSuffix(line, "\n") {
				rest = strings.TrimSpace(after)
				return true
			}
		}
		if p.hasEnded() {
			t.Fatalf("%s has ended without printing %q", p.name, prefix)
		}
		return false
	})
	return rest
}

func waitFor(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := lab.WaitFor(ctx, cond); err != nil {
		t.Fatalf("waited %v for %s", limit, what)
	}
}

// output runs a program to its end and returns what it prints.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return string(out)
}
