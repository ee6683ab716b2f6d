//go:build e2e

package e2e

import (
	"sync"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
)

// checksums verifies the checksums of all packets on a link while it runs.
type checksums struct {
	t       *testing.T
	where   string
	stop    func() error // idempotent; returns once all is read
	packets int
	wrong   int
}

func verify(t *testing.T, n *lab.Namespace, link string) *checksums {
	t.Helper()
	tap, err := lab.Capture(n, link)
	if err != nil {
		t.Fatal(err)
	}
	c := &checksums{t: t, where: link + " of " + n.Name}
	var reader sync.WaitGroup
	reader.Go(func() { c.read(tap) })
	c.stop = sync.OnceValue(func() error {
		defer reader.Wait()
		return tap.Close()
	})
	t.Cleanup(func() { _ = c.stop() }) // for a test that ends early
	return c
}

func (c *checksums) read(tap *lab.Tap) {
	for p := range tap.Packets() {
		c.packets++
		err := tap.Verify(p)
		if err == nil {
			continue
		}
		if c.wrong++; c.wrong <= 3 {
			c.t.Errorf("on %s (outgoing %v, %d bytes): %v\n% x", c.where, p.Outgoing, len(p.Data), err, p.Data[:min(64, len(p.Data))])
		}
	}
}

// finish ends the capture; one that saw nothing is an error.
func (c *checksums) finish() {
	c.t.Helper()
	if err := c.stop(); err != nil {
		c.t.Error(err)
	}
	c.t.Logf("%s: %d packets, %d with wrong checksums", c.where, c.packets, c.wrong)
	if c.packets < 1000 || c.wrong > 0 {
		c.t.Errorf("%s: %d packets, %d with wrong checksums", c.where, c.packets, c.wrong)
	}
}
