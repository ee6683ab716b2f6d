package datapath

import (
	flags "flag"
	"os"
	"testing"
)

// The tests wait for the kernel more than they compute: namespaces take it long
// to remove, sessions to expire. More of them run at once than there are CPUs.
func TestMain(m *testing.M) {
	flags.Parse()
	if f := flags.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("6")
	}
	os.Exit(m.Run())
}
