package lab

import (
	"os"
	"runtime"
	"sync"
)

// TB is the part of testing.TB that lab uses. It is spelled out here so that
// the demo does not link package testing.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(func())
}

// RequireRoot skips the test if it does not run as root. As root it fails the
// test if namespaces do not work: a machine where they should and do not must
// not look green.
func RequireRoot(t TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root to make network namespaces")
	}
	if err := namespacesWork(); err != nil {
		t.Fatalf("root, but network namespaces do not work: %v", err)
	}
}

var namespacesWork = sync.OnceValue(func() error {
	n, err := NewNamespace("probe")
	if err != nil {
		return err
	}
	return n.Close()
})

// AvailableCPU returns how many CPUs the process may use at once.
func AvailableCPU() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }
