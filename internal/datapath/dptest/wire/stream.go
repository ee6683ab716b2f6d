package wire

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// Stream is an established UDP echo stream: numbered packets, one in flight.
type Stream struct {
	Client   Peer
	External netip.AddrPort
	Answered atomic.Int64
	Stop     chan struct{}
	Done     chan error
}

// streamPatience is far longer than an answer takes on a busy machine. What is lost never has one.
const streamPatience = 10 * time.Second

// Run sends, and takes it for a loss when no answer comes.
func (s *Stream) Run(to netip.AddrPort) error {
	buf := make([]byte, 64)
	for {
		select {
		case <-s.Stop:
			return nil
		default:
		}
		if _, err := s.Client.WriteToUDPAddrPort([]byte("next"), to); err != nil {
			return err
		}
		if err := s.Client.SetReadDeadline(time.Now().Add(streamPatience)); err != nil {
			return err
		}
		n, _, err := s.Client.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("packet %d: %w", s.Answered.Load(), err)
		}
		if got := string(buf[:n]); got != s.External.String() {
			return fmt.Errorf("packet %d was seen as %s, not %v", s.Answered.Load(), got, s.External)
		}
		s.Answered.Add(1)
	}
}

// Runs waits until some more packets have been answered.
func (s *Stream) Runs(t *testing.T) {
	t.Helper()
	target := s.Answered.Load() + 50
	Within(t, 2*streamPatience, "traffic", func() bool { return s.Answered.Load() >= target || len(s.Done) > 0 })
}
