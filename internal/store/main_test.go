package store

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain has the tests' files in memory, if there is a place: thousands of
// times waiting for the disk shows nothing.
func TestMain(m *testing.M) {
	const memory = "/dev/shm"
	if unix.Access(memory, unix.W_OK) == nil {
		os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}
