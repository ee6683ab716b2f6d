package test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestDetachedProgramIsAttachedAgain: no netlink message tells that somebody
// took a program off a link, so the daemon looks by itself.
func TestDetachedProgramIsAttachedAgain(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	links := filepath.Join(h.dir, "run", "bpf", "links")
	programs := func() []string {
		pins, err := filepath.Glob(filepath.Join(links, "*-*side-ingress"))
		if err != nil {
			t.Fatal(err)
		}
		return pins
	}
	before := programs()
	if len(before) != 2 {
		t.Fatalf("programs %q, want the endpoint's and the outside's", before)
	}
	for range 2 { // the first time, what the attachment itself set off may do it
		for _, pin := range before {
			if err := os.Remove(pin); err != nil {
				t.Fatal(err)
			}
		}
		h.waitFor(30*time.Second, "the programs to be back", func() bool { return slices.Equal(programs(), before) })
	}
	h.echo(h.Remote, "tcp", outside)
	h.ask(1, h.inside, "tcp", outside)
}
