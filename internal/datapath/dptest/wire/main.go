package wire

import (
	"flag"
	"os"
	"testing"
)

// Main runs a package's tests. They wait for the kernel more than they compute:
// namespaces take it long to remove, sessions to expire. More of them run at once
// than there are CPUs.
func Main(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("6")
	}
	os.Exit(m.Run())
}
