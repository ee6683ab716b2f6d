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
	if out, err := exec.Command("go", "build", "-o", hostnat, "../cmd/hostnat").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build hostnat: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
