//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// hostnat is the path of the program under test, built for this run.
var hostnat string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	if os.Geteuid() != 0 { // every test is going to be skipped
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "hostnat-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	hostnat = filepath.Join(dir, "hostnat")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", hostnat, "../cmd/hostnat")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make does
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build hostnat: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
