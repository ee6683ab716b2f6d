package demo

import (
	"context"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/event"
)

// keepApart is chapter 6.
func keepApart(ctx context.Context, s *stage) error {
	s.say("c2 tries to reach c1, which is on another network. Then c1 sends packets with an address that is not its own.")
	status, err := s.client.Status(ctx)
	if err != nil {
		return err
	}
	before := status.Drops
	reached := s.reach(ctx, s.c2, s.c1)
	if err := s.promise(!reached, "c2 cannot reach %s:80, where c1's server answers the world outside", s.address[s.c1]); err != nil {
		return err
	}
	arrived, err := s.sendForged(ctx)
	if err != nil {
		return err
	}
	if status, err = s.client.Status(ctx); err != nil {
		return err
	}
	isolated, spoofed := event.IsolatedNetwork.String(), event.SpoofedSource.String()
	out, err := s.exec(ctx, "status")
	if err != nil {
		return err
	}
	s.command("hostnat status | grep -E '" + isolated + "|" + spoofed + "'")
	s.output(grep(out, isolated, spoofed))
	counted := status.Drops[spoofed] - before[spoofed]
	if err := s.promise(counted == forgedPackets && arrived == 0,
		"%d packets sent as %s, %d dropped and counted, %d came out", forgedPackets, forgedSource, counted, arrived); err != nil {
		return err
	}
	return s.promise(status.Drops[isolated] > before[isolated],
		"the attempts to reach the other network are counted too: %d", status.Drops[isolated]-before[isolated])
}

// reach says whether a connection to port 80 comes about within a moment.
func (s *stage) reach(ctx context.Context, from, to *lab.Namespace) bool {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", netip.AddrPortFrom(s.address[to], 80).String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
