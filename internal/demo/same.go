package demo

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// sessionKey is what must stay as it is as long as a session lives.
type sessionKey struct {
	protocol                   nat.Protocol
	internal, external, remote netip.AddrPort
}

func keyOf(s nat.Session) sessionKey {
	return sessionKey{s.Protocol, s.Internal, s.External, s.Remote}
}

// promiseSame compares the sessions of before with those of now.
func (s *stage) promiseSame(ctx context.Context, before []nat.Session) error {
	sessions, err := s.client.Sessions(ctx, nat.Filter{})
	if err != nil {
		return err
	}
	now := make(map[sessionKey]nat.Session, len(sessions))
	for _, v := range sessions {
		now[keyOf(v)] = v
	}
	grown := uint64(0)
	for _, old := range before {
		v, found := now[keyOf(old)]
		if err := compare(old, v, found); err != nil {
			return err
		}
		grown += v.PacketsIn + v.PacketsOut - old.PacketsIn - old.PacketsOut
	}
	return s.promise(len(before) > 0 && len(sessions) == len(before)+1 && grown > 0,
		"%d sessions before, %d now: the same ones with the same outside ports, %d packets more on their counters, "+
			"and the new one", len(before), len(sessions), grown)
}

// compare says in what way a session is not the one it was.
func compare(old, now nat.Session, found bool) error {
	what := fmt.Sprintf("session %s %s to %s", old.Protocol, old.Internal, old.Remote)
	switch {
	case !found:
		return fmt.Errorf("not as promised: %s, outside %s, is gone", what, old.External)
	case now.PacketsIn < old.PacketsIn || now.BytesIn < old.BytesIn || now.PacketsOut < old.PacketsOut || now.BytesOut < old.BytesOut:
		return fmt.Errorf("not as promised: the counters of %s went back", what)
	case now.CreatedAt.Sub(old.CreatedAt).Abs() > 100*time.Millisecond: // the clock may have been adjusted a little
		return fmt.Errorf("not as promised: %s was made at %s, now it says %s", what, old.CreatedAt, now.CreatedAt)
	}
	return nil
}
