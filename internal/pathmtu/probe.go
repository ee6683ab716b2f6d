package pathmtu

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// Target is what is asked about.
type Target struct {
	To   netip.AddrPort // port 0: only echo requests can be sent
	From netip.Addr     // of the host; not valid: as the host chooses
	Link string         // by which packets leave
}

const largestProbe = 9216 // bytes: what Ethernet with jumbo frames has

// Probe sends from the calling process's namespace. Echo requests come first; if the
// remote answers none, SYNs with data to its port do, which it answers with or without
// somebody who listens.
func Probe(ctx context.Context, t Target) (model.PathMTU, error) {
	link, err := net.InterfaceByName(t.Link)
	if err != nil {
		return model.PathMTU{}, fmt.Errorf("looking up the MTU of %s: %w", t.Link, err)
	}
	high := max(min(link.MTU, largestProbe), smallest)
	r, err := probeBy(ctx, newEcho, t, high)
	if err != nil || r.Largest > 0 || t.To.Port() == 0 {
		return r, err
	}
	byTCP, err := probeBy(ctx, newSYN, t, high)
	if err != nil || byTCP.Largest > 0 || r.Refusal == "" {
		return byTCP, err
	}
	return r, nil
}

func probeBy[S interface {
	sender
	Close() error
}](ctx context.Context, open func(Target) (S, error), t Target, high int) (model.PathMTU, error) {
	s, err := open(t)
	if err != nil {
		return model.PathMTU{}, err
	}
	defer s.Close()
	return search(ctx, s, high)
}
