package dns

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/internal/tokens"
)

const (
	// maxQuery is the longest query by UDP, in bytes.
	maxQuery = 4096
	// A client's queries that wait for the host's resolvers, and its
	// connections; and all of a network's.
	clientQueries, allQueries         = 100, 1000
	clientConnections, allConnections = 16, 256
	// idleTime is how long a connection may say nothing, or take for a query
	// (RFC 7766 section 6.2.3: a few seconds).
	idleTime = 10 * time.Second
	// acceptAgain is how long to wait when no connection can be taken.
	acceptAgain = 50 * time.Millisecond
)

// clientOpens is how many connections a client may open: one is enough for all its queries.
var clientOpens = tokens.Rate{PerSecond: 1000, Burst: 2000}

// listener serves one network at one link.
type listener struct {
	sockets     *sockets
	zone        atomic.Pointer[Zone]
	clients     netip.Prefix // only they are answered
	gateway     netip.Addr   // the host's own programs ask from there
	forward     *forwarder
	queries     *limiter[netip.Addr]
	connections *limiter[netip.Addr]
	opened      tokens.Each[netip.Addr] // connections; serveTCP's alone
	opens       tokens.Rate             // of each client
	files       *limiter[*listener]     // of all networks
	learned     func(Learned)           // is told what clients are told
	refused     atomic.Uint64           // queries and connections for which there was no place
	refusedAt   atomic.Int64            // when the last was, Unix seconds

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newListener(s *sockets, zone *Zone, clients netip.Prefix, gateway netip.Addr, forward *forwarder, files *limiter[*listener], opens tokens.Rate, learned func(Learned)) *listener {
	l := &listener{
		sockets: s, clients: clients, gateway: gateway, forward: forward, files: files, opens: opens, learned: learned,
		queries:     newLimiter[netip.Addr](clientQueries, allQueries),
		connections: newLimiter[netip.Addr](clientConnections, allConnections),
	}
	l.connections.ownYields = true
	l.zone.Store(zone)
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.running.Go(l.serveUDP)
	l.running.Go(l.serveTCP)
	return l
}

// close ends the sockets and waits for all that goes on.
func (l *listener) close() {
	l.stop()
	l.sockets.close()
	l.running.Wait()
}

// mayAsk keeps answers from going to whoever is named as the sender elsewhere.
func (l *listener) mayAsk(client netip.AddrPort) bool {
	return client.Port() != 0 && l.clients.Contains(client.Addr())
}

// handleDatagram answers at once what is known here; the rest may take its time.
func (l *listener) handleDatagram(raw []byte, client netip.AddrPort) {
	q, answer := l.answer(raw, client.Addr())
	if answer != nil {
		l.send(pack(answer, min(largeSize, q.size())), client)
		return
	}
	if q.raw == nil {
		return
	}
	ctx, giveUp := context.WithCancel(l.ctx)
	held := l.enter(l.queries, client.Addr(), giveUp)
	if held == nil {
		giveUp()
		l.refuse()
		l.send(pack(q.tooMany(), q.size()), client)
		return
	}
	q.raw = append([]byte(nil), raw...) // the buffer is used again
	l.running.Go(func() {
		defer giveUp()
		defer held.leave()
		l.send(shorten(l.ask(ctx, &q, false, client.Addr()), &q), client)
	})
}

// refuse notes that somebody was refused.
func (l *listener) refuse() {
	l.refused.Add(1)
	l.refusedAt.Store(time.Now().Unix())
}

// hasRefusedLately reports whether that was within a minute.
func (l *listener) hasRefusedLately() bool {
	return l.refused.Load() > 0 && time.Since(time.Unix(l.refusedAt.Load(), 0)) < time.Minute
}

// held is what a query or a connection holds: a place in its network, and a file.
type held struct {
	listener *listener
	places   *limiter[netip.Addr]
	place    *place[netip.Addr]
	file     *place[*listener]
}

// enter gives a client one more place, nil if there is none.
func (l *listener) enter(places *limiter[netip.Addr], client netip.Addr, giveUp func()) *held {
	p := places.enter(client, giveUp)
	if p == nil {
		return nil
	}
	file := l.files.enter(l, giveUp)
	if file == nil {
		places.leave(p)
		return nil
	}
	return &held{l, places, p, file}
}

func (h *held) leave() {
	h.places.leave(h.place)
	h.listener.files.leave(h.file)
}

// used notes that a connection is in use.
func (h *held) used() {
	h.places.used(h.place)
	h.listener.files.used(h.file)
}

func (l *listener) send(raw []byte, client netip.AddrPort) {
	if raw != nil {
		// A client that is gone needs no answer.
		_, _ = l.sockets.udp.WriteToUDPAddrPort(raw, client)
	}
}

// answer returns the answer to a message if it is known here. If it is not, and
// the query has no raw bytes, there is nothing to be said at all.
func (l *listener) answer(raw []byte, client netip.Addr) (query, *dns.Msg) {
	q, code, ok := parse(raw)
	switch {
	case ok:
		zone := l.zone.Load()
		if client == l.gateway { // nothing inside gets through with that
			zone = zone.host
		}
		return q, zone.answer(&q)
	case code < 0:
		return query{}, nil
	}
	return q, refusal(q.header, code)
}

// ask asks the host's resolvers. The answer is nil if the server is closing. If ctx
// ends, the client has too many queries.
func (l *listener) ask(ctx context.Context, q *query, tcp bool, client netip.Addr) []byte {
	raw, err := l.forward.ask(ctx, q, tcp)
	switch {
	case err == nil:
		l.learn(q, raw, client)
		return raw
	case l.ctx.Err() != nil:
		return nil
	case ctx.Err() != nil:
		return pack(q.tooMany(), largeSize)
	case errors.Is(err, errNoResolver):
		return pack(q.failure(dns.ExtendedErrorCodeNotReady, err.Error()), largeSize)
	}
	return pack(q.failure(dns.ExtendedErrorCodeNetworkError, "no resolver of the host answers"), largeSize)
}

func (q *query) tooMany() *dns.Msg {
	return q.failure(dns.ExtendedErrorCodeOther, "too many queries at once")
}
