package dhcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Server serves one network.
type Server struct {
	leases *Leases
	link   *link
	scope  atomic.Pointer[Scope]
	bridge Bridge
	probes chan struct{} // one for each that is under way

	asked   chan arrival  // before the port was checked, which it is now
	waiting chan struct{} // one for each whose port is not checked yet

	forged, refused, hasty atomic.Uint64 // messages
	strangeAt              atomic.Int64  // when the last of these was, Unix seconds
	rates                  rates         // of who sends; for read alone

	log *slog.Logger
}

// Bridge is what is asked of a bridge, by its index.
type Bridge struct {
	// PortOf returns the index of the port behind which a MAC of a network is; 0: not known.
	PortOf func(network uint32, bridge int, mac net.HardwareAddr) int
	// Checked returns the index of the port behind which a bridge has seen a MAC of a network, if what
	// comes by that is checked; else 0. Nil: nobody asks before.
	Checked func(network uint32, bridge int, mac net.HardwareAddr) int
	// HasPort reports whether a bridge has a port, both by their index. Nil: it has.
	HasPort func(bridge, port int) bool
	// MTUOf returns the MTU of a link in bytes, by its index; 0: not known. Nil: none is.
	MTUOf func(link int) int
	// HolderOf asks on the bridge who has an address. It returns soon: a client
	// waits. Nil: nobody is asked.
	HolderOf func(ctx context.Context, bridge int, a netip.Addr) (holder model.MAC, taken bool)
	// Named returns the links of these names that are there. Nil: all are listed.
	Named func(ctx context.Context, names []string) ([]net.Interface, error)
}

// How much is taken in one go: then one write to the disk is for all of them.
const (
	maxBatch  = 128
	maxFrame  = 2048 // bytes; a longer message than Ethernet carries is nobody's
	queueSize = 128
)

// Open listens on a network's bridge. The server runs until Run's context ends.
func Open(s *Scope, link *net.Interface, leases *Leases, bridge Bridge, log *slog.Logger) (*Server, error) {
	l, err := openLink(link, s.Gateway)
	if err != nil {
		return nil, err
	}
	v := &Server{
		leases: leases, link: l, bridge: bridge, probes: make(chan struct{}, maxProbes),
		asked: make(chan arrival), waiting: make(chan struct{}, maxEarly), log: log.With("network", s.Network),
	}
	v.scope.Store(s)
	return v, nil
}

// Update makes the server serve by another scope of the same bridge from the
// next request on.
func (v *Server) Update(s *Scope) { v.scope.Store(s) }

// Run answers until ctx ends, and closes the socket.
func (v *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { v.link.close() })
	defer func() {
		if stop() {
			v.link.close()
		}
	}()
	queue := make(chan arrival, queueSize)
	failed := make(chan error, 1)
	go func() {
		defer close(queue)
		failed <- v.read(queue)
	}()
	var probing sync.WaitGroup
	defer probing.Wait()
	for open := true; open; {
		var first arrival
		select {
		case first, open = <-queue:
			if open {
				v.handle(ctx, more(queue, first), &probing)
			}
		case first = <-v.asked:
			v.handle(ctx, []arrival{first}, &probing)
		}
	}
	if err := <-failed; ctx.Err() == nil {
		return fmt.Errorf("DHCP on bridge %s: %w", v.scope.Load().Bridge, err)
	}
	return ctx.Err()
}

// read puts messages into the queue; what finds it full is lost, and sent again
// by the client. One port's flood does not fill it.
func (v *Server) read(queue chan<- arrival) error {
	b := make([]byte, maxFrame)
	for {
		n, err := v.link.receive(b)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // the bridge is down, or gone: then somebody closes us
			if !isTransient(err) {
				return err
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		f, err := parseFrame(b[:n])
		if err != nil {
			v.log.Debug("DHCP message ignored", "reason", err)
			continue
		}
		from := v.bridge.sender(v.scope.Load().ID, v.link.index, f.source)
		now := time.Now()
		if !v.rates.admits(from.Port, now) {
			v.hasty.Add(1)
			v.strangeAt.Store(now.Unix())
			continue
		}
		select {
		case queue <- arrival{bytes.Clone(f.payload), from}:
		default:
		}
	}
}

// more takes what else waits in the queue.
func more(queue <-chan arrival, first arrival) []arrival {
	batch := []arrival{first}
	for len(batch) < maxBatch {
		select {
		case next, open := <-queue:
			if !open {
				return batch
			}
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (v *Server) handle(ctx context.Context, batch []arrival, probing *sync.WaitGroup) {
	s := v.scope.Load()
	outcomes, err := v.leases.answer(s, batch, time.Now())
	if err != nil {
		// Nobody gets an address that might be given out twice after a crash.
		v.log.Error("leases cannot be stored, DHCP requests stay unanswered", "error", err)
		return
	}
	for i, out := range outcomes {
		v.note(out)
		if !out.Probe.IsValid() || !v.mayProbe() {
			v.told(s, out)
			continue
		}
		probing.Go(func() {
			defer func() { <-v.probes }()
			v.probed(ctx, s, batch[i], out)
		})
	}
}

// note counts what status speaks of.
func (v *Server) note(out Outcome) {
	if out.Forged {
		v.forged.Add(1)
	}
	if out.Refused {
		v.refused.Add(1)
	}
	if out.Forged || out.Refused {
		v.strangeAt.Store(time.Now().Unix())
	}
}

// problem says whether messages were ignored within a minute; "" if none was.
func (v *Server) problem() string {
	if time.Since(time.Unix(v.strangeAt.Load(), 0)) > time.Minute {
		return ""
	}
	return fmt.Sprintf("DHCP on network %s has ignored %d messages of machines that speak in the name of others and %d of ports that send too many, and had no address for %d requests: there is none left, or their port has had its share",
		v.scope.Load().Network, v.forged.Load(), v.hasty.Load(), v.refused.Load())
}

// sender is who a MAC on a network's bridge is.
func (b Bridge) sender(network uint32, bridge int, mac net.HardwareAddr) Sender {
	s := Sender{Port: b.PortOf(network, bridge, mac), MAC: model.MAC(mac.String())}
	if b.HasPort != nil {
		s.HasPort = func(port int) bool { return b.HasPort(bridge, port) }
	}
	if b.MTUOf != nil && s.Port != 0 {
		s.MTU = b.MTUOf(s.Port)
	}
	return s
}

func (v *Server) mayProbe() bool {
	if v.bridge.HolderOf == nil {
		return false
	}
	select {
	case v.probes <- struct{}{}:
		return true
	default:
		return false
	}
}

// told sends a reply of which nothing has to be found out any more.
func (v *Server) told(s *Scope, out Outcome) {
	if out.Probe.IsValid() {
		v.leases.probed(s.Network, out.Probe)
	}
	v.send(s, out)
}

func (v *Server) send(s *Scope, out Outcome) {
	if out.Why != "" {
		v.log.Debug("DHCP", "reason", out.Why)
	}
	if out.Reply == nil {
		return
	}
	to := out.Reply.ClientHWAddr
	if out.To == broadcast {
		to = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	frame := buildFrame(to, v.link.mac, out.To, s.Gateway, out.Reply.ToBytes())
	if err := v.link.send(frame); err != nil {
		v.log.Debug("DHCP reply not sent", "to", out.To, "error", err)
	}
}
