package dhcp

import (
	"context"
	"net"
	"slices"
	"time"
)

// How long a question waits for its port to be checked, and how many do.
const (
	earlyWait = 10 * time.Second
	earlyPoll = 5 * time.Millisecond
	maxEarly  = 32 // of one network
)

// Early takes a frame that a client has sent to a network's server before its port was
// checked. It counts as sent when that is, if the bridge then still has the client
// there and nobody else has its MAC.
func (v *Servers) Early(ctx context.Context, network uint32, frame []byte, asked time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.running {
		if r.server.scope.Load().ID == network {
			r.server.early(ctx, frame, asked)
			return
		}
	}
}

// early waits beside what else the server does. What finds too many waiting is lost, and
// sent again by the client.
func (v *Server) early(ctx context.Context, b []byte, asked time.Time) {
	f, err := parseFrame(slices.Clone(b))
	if err != nil || v.bridge.Checked == nil {
		return
	}
	select {
	case v.waiting <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-v.waiting }()
		ctx, cancel := context.WithDeadline(ctx, asked.Add(earlyWait))
		defer cancel()
		if port := v.checkedPort(ctx, f.source); port != 0 {
			from := v.bridge.sender(v.scope.Load().ID, v.link.index, f.source)
			if from.Port == 0 || from.Port == port { // it is nobody else's meanwhile
				from.Port = port
				v.take(ctx, arrival{f.payload, from})
			}
		}
	}()
}

// checkedPort waits until a client is behind a port that is checked; 0: it is not.
func (v *Server) checkedPort(ctx context.Context, client net.HardwareAddr) int {
	tick := time.NewTicker(earlyPoll)
	defer tick.Stop()
	for {
		if port := v.bridge.Checked(v.scope.Load().ID, v.link.index, client); port != 0 {
			return port
		}
		select {
		case <-ctx.Done():
			return 0
		case <-tick.C:
		}
	}
}

func (v *Server) take(ctx context.Context, a arrival) {
	select {
	case v.asked <- a:
	case <-ctx.Done():
	}
}
