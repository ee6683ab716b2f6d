package demo

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/event"
)

// sessionKey is what must stay as it is as long as a session lives.
type sessionKey struct {
	protocol                   api.Protocol
	internal, external, remote netip.AddrPort
}

func keyOf(s api.Session) sessionKey {
	return sessionKey{s.Protocol, s.Internal, s.External, s.Remote}
}

// snapshot is what the data path has at a moment.
type snapshot struct {
	sessions []api.Session
	dropped  uint64 // packets, without those that are not IPv4: a link's own chatter
}

func (s *stage) snapshot(ctx context.Context) (snapshot, error) {
	sessions, err := s.client.Sessions(ctx, api.Filter{})
	if err != nil {
		return snapshot{}, err
	}
	status, err := s.client.Status(ctx)
	if err != nil {
		return snapshot{}, err
	}
	v := snapshot{sessions: sessions}
	for reason, packets := range status.Drops {
		if reason != event.IPv6.String() {
			v.dropped += packets
		}
	}
	return v, nil
}

// promiseSame compares the sessions before with those after.
func (s *stage) promiseSame(before, after snapshot) error {
	now := make(map[sessionKey]api.Session, len(after.sessions))
	for _, v := range after.sessions {
		now[keyOf(v)] = v
	}
	grown := uint64(0)
	for _, old := range before.sessions {
		v, found := now[keyOf(old)]
		if err := compare(old, v, found); err != nil {
			return err
		}
		grown += v.PacketsIn + v.PacketsOut - old.PacketsIn - old.PacketsOut
	}
	return s.promise(len(now) == len(before.sessions)+1 && grown > 0,
		"%d sessions before, %d now: the same ones with the same outside ports, %d packets more on their counters, "+
			"and the new one", len(before.sessions), len(now), grown)
}

// compare says in what way a session is not the one it was.
func compare(old, now api.Session, found bool) error {
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
