package export

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialTime  = 5 * time.Second
	writeTime = 10 * time.Second // a collector that takes nothing for so long is connected to anew
	endTime   = time.Second      // for what is left when the daemon ends
	again     = time.Second      // after a failure

	prefacePeriod  = time.Minute // templates are sent again (RFC 7011 section 8.4)
	prefacePackets = 1000        // ... and after so many packets
	reportPeriod   = time.Second // between two reports of losses at the least

	// refusalTime is how long a UDP port that nobody has is waited for to say so.
	refusalTime = 200 * time.Millisecond
)

// stream sends to one destination.
type stream struct {
	queue
	to        Destination
	log       *slog.Logger
	problem   atomic.Pointer[error]
	writeTime time.Duration
	stalled   bool // the connection before took nothing for so long
}

func newStream(d Destination, o Options) *stream {
	var f format = &ipfixFormat{remotes: o.Remotes}
	if d.Kind == "syslog" {
		f = &syslogFormat{origin: origin(), framed: d.Network == "tcp", remotes: o.Remotes}
	}
	return &stream{queue: newQueue(f), to: d, log: o.Log, writeTime: writeTime}
}

// failure is why the collector cannot be reached; nil: it can, as far as is known.
func (s *stream) failure() error {
	if p := s.problem.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *stream) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.connect(ctx)
		s.stalled = errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && ctx.Err() == nil {
			if s.problem.Swap(&err) == nil {
				s.log.Warn("events do not reach a collector", "to", s.to.Kind+" "+s.to.String(), "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// connect sends until something fails or ctx ends.
func (s *stream) connect(ctx context.Context) error {
	d := net.Dialer{Timeout: dialTime}
	c, err := d.DialContext(ctx, s.to.Network, s.to.Address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(endTime, func() { c.Close() }) })
	defer stop()
	l := &link{stream: s, Conn: c, ended: make(chan struct{})}
	go l.listen()
	err = l.send(ctx)
	if reason := l.end(); reason != nil {
		err = reason
	}
	c.Close()
	<-l.ended
	if s.to.Network == "udp" && errors.Is(err, unix.ECONNREFUSED) { // an answer to what was sent before
		s.refused(l.last)
	}
	return err
}

// link is a connection to a collector.
type link struct {
	*stream
	net.Conn
	ended  chan struct{} // closed when the other side has closed the connection, or we have
	reason error         // why, once ended is closed

	begun     bool      // something was written
	last      uint64    // events in the packet that was written last
	packets   int       // since the preface
	prefaceAt time.Time // when it is due
	reported  uint64    // losses that the collector knows of
	reportAt  time.Time // when more may be told
	soundAt   time.Time // when a connection counts as one that is read
}

// listen closes the connection when the other side does. Collectors say nothing else.
func (l *link) listen() {
	b := make([]byte, 512)
	for l.reason == nil {
		_, l.reason = l.Read(b)
	}
	if errors.Is(l.reason, io.EOF) {
		l.reason = errors.New("it has closed the connection")
	}
	close(l.ended)
	l.Conn.Close()
}

// end is why the other side has ended the connection, if it has.
func (l *link) end() error {
	select {
	case <-l.ended:
		return l.reason
	default:
		return nil
	}
}

func (l *link) send(ctx context.Context) error {
	l.format.begin()
	l.soundAt = time.Now()
	if l.stalled { // each new connection takes what its buffers hold, whoever reads it or not
		l.soundAt = l.soundAt.Add(l.writeTime)
	}
	for {
		if l.to.Network != "udp" && !time.Now().Before(l.soundAt) { // by UDP it is known after something was sent
			l.problem.Store(nil)
		}
		if err := l.due(ctx); err != nil {
			return err
		}
		p, after := l.next(time.Now(), ctx.Err() != nil)
		if p.bytes != nil {
			if err := l.write(ctx, p); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := l.wait(ctx, after); err != nil {
			return err
		}
	}
}

// due sends what a collector must have first, and by UDP again every now and then; and tells
// of losses.
func (l *link) due(ctx context.Context) error {
	now, lost := time.Now(), l.losses()
	if !now.Before(l.prefaceAt) || l.packets >= prefacePackets {
		isNew := l.prefaceAt.IsZero()
		l.prefaceAt, l.packets = now.Add(prefacePeriod), 0
		if b := l.format.preface(lost, now); b != nil && (isNew || l.to.Network == "udp") {
			l.reported = lost.events
			return l.put(ctx, b, 0)
		}
	}
	if lost.events > l.reported && !now.Before(l.reportAt) {
		l.reported, l.reportAt = lost.events, now.Add(reportPeriod)
		return l.put(ctx, l.format.report(lost, now), 0)
	}
	return nil
}

// wait returns when there may be something to do.
func (l *link) wait(ctx context.Context, after time.Duration) error {
	until := time.Until(l.prefaceAt)
	if after > 0 {
		until = min(until, after)
	}
	if l.losses().events > l.reported {
		until = min(until, time.Until(l.reportAt))
	}
	if sound := time.Until(l.soundAt); sound > 0 {
		until = min(until, sound)
	}
	timer := time.NewTimer(until)
	defer timer.Stop()
	select {
	case <-l.ended:
		return l.reason
	case <-ctx.Done():
	case <-l.ready:
	case <-timer.C:
	}
	return nil
}

// write sends a packet, or counts its events as lost.
func (l *link) write(ctx context.Context, p packet) error {
	l.format.stamp(p.bytes, time.Now())
	if err := l.put(ctx, p.bytes, p.events); err != nil {
		return err
	}
	l.format.written(p)
	l.packets++
	return nil
}

// put writes bytes with so many events, or counts these as lost. After the first it waits
// for what says that nobody has the UDP port.
func (l *link) put(ctx context.Context, b []byte, events uint64) error {
	err := l.SetWriteDeadline(time.Now().Add(l.writeTime))
	if err == nil {
		_, err = l.Write(b)
	}
	if err != nil {
		l.lose(events, time.Now())
		return err
	}
	l.last = events
	l.countSent(events)
	if l.begun || l.to.Network != "udp" {
		return nil
	}
	l.begun = true
	select {
	case <-l.ended:
		return l.reason
	case <-ctx.Done():
	case <-time.After(refusalTime):
		l.problem.Store(nil)
	}
	return nil
}
