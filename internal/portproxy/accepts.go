package portproxy

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/tokens"
)

// How many connections a client and a rule may open while so many wait to be accepted that
// clients have to wait for each other. A client that opens few is not refused
// because of its rule's rate, which others have used up.
var (
	clientOpens = tokens.Rate{PerSecond: 500, Burst: 1000}
	ruleOpens   = tokens.Rate{PerSecond: 4000, Burst: 4000}
)

const (
	// fewOpened is how many connections beyond its rate are few.
	fewOpened = 20
	// longQueue is how many connections have to wait for that. Clients that wait for
	// their answers are rarely so many at once; one that connects and closes
	// as fast as it can fills the queue.
	longQueue = 128
)

// accepts counts how often the clients of a rule connect. It is safe for concurrent use.
type accepts struct {
	mu      sync.Mutex
	all     tokens.Bucket
	clients tokens.Each[netip.Prefix]
}

// admit counts a client's new connection, and reports whether it may be. Pressed says that
// the queue is long: else nobody is refused.
func (a *accepts) admit(client netip.Prefix, now time.Time, pressed bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := a.clients.Of(client)
	opensFew := of.Fill(clientOpens, now) > clientOpens.Burst-fewOpened
	ofClient, ofRule := of.Take(clientOpens, now), a.all.Take(ruleOpens, now)
	return !pressed || ofClient && (ofRule || opensFew)
}

// waiting is how many connections wait to be accepted from a listening socket.
func waiting(listener int) (int, error) {
	info, err := unix.GetsockoptTCPInfo(listener, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, fmt.Errorf("read a listener's queue: %w", err)
	}
	return int(info.Unacked), nil // include/net/tcp.h: tcp_get_info tells sk_ack_backlog there
}
