package bench

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

var errNotThere = fs.ErrNotExist

// verify sees that TCP and UDP pass both ways, and that the server sees the
// client as it should.
func (c *contender) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, network := range []string{"tcp", "udp"} {
		if err := c.outbound.ask(ctx, network); err != nil {
			return fmt.Errorf("outbound: %w", err)
		}
		if err := c.inbound.ask(ctx, network); err != nil {
			return fmt.Errorf("published port: %w", err)
		}
	}
	return nil
}

func (p path) ask(ctx context.Context, network string) error {
	server, err := lab.EchoServer(p.server, network, p.listen.String())
	if err != nil {
		return err
	}
	defer server.Close()
	seen, err := lab.Ask(ctx, p.client, network, p.target.String())
	if err != nil {
		return err
	}
	if seen.Addr() != p.source {
		return fmt.Errorf("the %s server saw the client as %v, not as %v", network, seen.Addr(), p.source)
	}
	return nil
}
