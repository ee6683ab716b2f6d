package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// stream marks a route whose answer is events, one JSON object a line.
type stream struct{}

func eventRoutes() []route {
	return []route{{method: http.MethodGet, path: "/v1/events", out: stream{}, handle: serveEvents}}
}

// openStream takes a place for an answer that ends when the client goes away or the server
// stops: then the context does. end gives the place back.
func (s *Server) openStream(r *http.Request, trusted bool) (ctx context.Context, end func(), err error) {
	p, _ := r.Context().Value(peerKey{}).(peer)
	done, ok := s.connections.watch(watcher{uid: p.uid, trusted: trusted})
	if !ok {
		return nil, nil, model.Errorf(model.Unavailable, "the daemon has as many streams of events and packets as it takes").WithHint("end some, or try again later")
	}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { stop(); cancel(); done() }, nil
}

// serveEvents sends events until the client goes away or the server stops.
// The header is sent at once: a client that has it misses nothing after it.
func serveEvents(s *Server, w http.ResponseWriter, r *http.Request) error {
	wanted, err := eventWish(s.service, r)
	if err != nil {
		return err
	}
	if wanted.ofPackets() && !trusted(r) {
		return model.Errorf(model.Denied, "only root and members of the group %q may watch each packet: it slows all of them", Group)
	}
	p, _ := r.Context().Value(peerKey{}).(peer)
	ctx, end, err := s.openStream(r, p.trusted() && !p.web)
	if err != nil {
		return err
	}
	defer end()
	var packets <-chan model.CaptureBatch
	if wanted.ofPackets() {
		if packets, err = s.service.Capture(ctx, wanted.packetWish); err != nil {
			return err
		}
	}
	events, err := s.service.Watch(ctx)
	if err != nil {
		return err
	}
	var recorded []event.Event
	now := time.Now()
	if !wanted.since.IsZero() {
		recording, err := s.service.Recording(ctx, wanted.since)
		if err != nil {
			return err
		}
		recorded = recordedEvents(recording, now)
	}
	w.Header().Set("Content-Type", api.EventStream)
	w.WriteHeader(http.StatusOK)
	out := eventLines{response: http.NewResponseController(w), lines: json.NewEncoder(w), wanted: wanted}
	if out.recorded(recorded) {
		out.follow(events, packets, now)
	}
	return nil
}

// recordedEvents are the events of a recording until then, the oldest first.
func recordedEvents(r model.Recording, until time.Time) []event.Event {
	list := slices.Concat(each(r.Drops, event.OfDrop), each(r.Ended, event.OfEnded))
	list = slices.DeleteFunc(list, func(e event.Event) bool { return e.Time.After(until) })
	slices.SortStableFunc(list, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	return list
}

// eventLines writes events that are wanted.
type eventLines struct {
	response *http.ResponseController
	lines    *json.Encoder
	wanted   wantedEvents
}

// recorded writes those of the past. It reports whether the client still reads.
func (l *eventLines) recorded(list []event.Event) bool {
	list = slices.DeleteFunc(list, func(e event.Event) bool { return !l.wanted.selects(e) })
	if last := l.wanted.last; last > 0 && len(list) > last {
		list = list[len(list)-last:]
	}
	for _, e := range list {
		if !l.write(e) {
			return false
		}
	}
	return l.response.Flush() == nil
}

// follow writes those that come, but those of before: they are among the recorded. Each
// packet is an event, or more than one, if packets is not nil.
func (l *eventLines) follow(events <-chan event.Event, packets <-chan model.CaptureBatch, from time.Time) {
	reader := packetReader{wanted: &l.wanted, headers: capture.NewReader()}
	for {
		select {
		case e, open := <-events:
			if !open || !l.one(e, from) {
				return
			}
		case batch, open := <-packets:
			if !open || !l.batch(batch, &reader) {
				return
			}
		}
		// A burst goes out in few writes.
		if len(events) == 0 && len(packets) == 0 && l.response.Flush() != nil {
			return
		}
	}
}

// one reports whether the client still reads.
func (l *eventLines) one(e event.Event, from time.Time) bool {
	isRecorded := e.ID == event.DroppedPacket || e.ID == event.SessionDelete
	if isRecorded && !l.wanted.since.IsZero() && !e.Time.After(from) {
		return true
	}
	return !l.wanted.selects(e) || l.write(e)
}

func (l *eventLines) batch(b model.CaptureBatch, reader *packetReader) bool {
	for _, e := range lostPackets(b, time.Now()) {
		if !l.write(e) {
			return false
		}
	}
	for i := range b.Packets {
		if !reader.each(&b.Packets[i], l.write) {
			return false
		}
	}
	return true
}

func (l *eventLines) write(e event.Event) bool {
	_ = l.response.SetWriteDeadline(time.Now().Add(answerTime)) // who does not read is no watcher
	return l.lines.Encode(eventOf(e)) == nil
}

// wantedEvents is what a client asks for.
type wantedEvents struct {
	selected   model.Selection
	filtered   bool
	kinds, not []string
	packets    bool // those of packets too
	packetWish model.CaptureWish
	level      event.Level
	reason     string // of a drop; empty: any, and what is no drop
	since      time.Time
	last       int
}

func eventWish(s Service, r *http.Request) (w wantedEvents, err error) {
	var f model.Filter
	var kinds, not, since, last, packets, level string
	fields := filterFields(&f)
	fields["kinds"], fields["not"], fields["since"], fields["last"] = &kinds, &not, &since, &last
	fields["packets"], fields["level"], fields["reason"] = &packets, &level, &w.reason
	if err := query(r, fields); err != nil {
		return w, err
	}
	// Of the past there may be endpoints that are gone, and others are to come.
	if name, err := endpointMeant(r.Context(), s, f.Endpoint); err == nil {
		f.Endpoint = name
	} else if model.CodeOf(err) != model.NotFound {
		return w, err
	}
	if w.selected, err = f.Parse(); err != nil {
		return w, err
	}
	w.filtered = f != (model.Filter{})
	if w.kinds, err = eventKinds(kinds); err != nil {
		return w, err
	}
	if w.not, err = eventKinds(not); err != nil {
		return w, err
	}
	if w.packets, err = truth("packets", packets); err != nil {
		return w, err
	}
	if w.level, err = eventLevel(level); err != nil {
		return w, err
	}
	if _, known := event.ParseReason(w.reason); w.reason != "" && !known {
		return w, model.Errorf(model.Invalid, "reason %q is none that a packet is dropped for", model.Clip(w.reason)).
			WithHint("'hostnat status' and 'hostnat event watch --only drop' show some")
	}
	w.setPacketWish()
	if since != "" {
		if w.since, err = sinceTime(since); err != nil {
			return w, err
		}
	}
	if last != "" {
		if w.last, err = strconv.Atoi(last); err != nil || w.last < 1 {
			return w, model.Errorf(model.Invalid, "last=%q is not a number of events", model.Clip(last)).WithHint("use a number from 1 on")
		}
	}
	return w, nil
}

// eventKinds reads a list of kinds, names and numbers of events.
func eventKinds(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	list := strings.Split(text, ",")
	for _, k := range list {
		if !slices.Contains(event.Kinds(), k) && !event.Known(k) {
			return nil, model.Errorf(model.Invalid, "%q is no kind, name or number of events", model.Clip(k)).
				WithHint("kinds are %s; a name is like SessionCreate", strings.Join(event.Kinds(), ", "))
		}
	}
	return list, nil
}

// eventLevel reads a level; none is the lowest.
func eventLevel(text string) (event.Level, error) {
	if text == "" {
		return event.Verbose, nil
	}
	if !slices.Contains(event.Levels(), event.Level(text)) {
		return "", model.Errorf(model.Invalid, "%q is no level of events", model.Clip(text)).WithHint("use verbose, information, warning or error")
	}
	return event.Level(text), nil
}

func isOneOf(list []string, id event.ID) bool {
	return slices.ContainsFunc(list, func(k string) bool { return k == id.Kind() || id.Is(k) })
}

// selects reports whether an event is wanted. That some were lost always is.
func (w *wantedEvents) selects(e event.Event) bool {
	if e.ID == event.EventsLost {
		return true
	}
	if !w.selectsID(e.ID) || w.reason != "" && w.reason != reasonOf(e) {
		return false
	}
	if !w.filtered {
		return true
	}
	if e.Drop != nil {
		return w.selected.Drop(e.Drop)
	}
	return w.selectsSession(e)
}

// selectsID reports whether events of this number may be wanted. Those of packets are, if
// they are asked for.
func (w *wantedEvents) selectsID(id event.ID) bool {
	named := isOneOf(w.kinds, id) || id.OfPackets() && w.packets || len(w.kinds) == 0 && !id.OfPackets()
	return named && !isOneOf(w.not, id) && id.Level().Reaches(w.level)
}

// reasonOf is why a packet was dropped; empty: the event is of no such packet.
func reasonOf(e event.Event) string {
	if e.Drop == nil {
		return ""
	}
	return e.Drop.Reason
}

func (w *wantedEvents) selectsSession(e event.Event) bool {
	return w.selected.Session(&model.Session{
		NAT: e.NAT, Network: e.Network, Endpoint: e.Endpoint, Protocol: e.Protocol,
		Internal: e.Internal, External: e.External, Remote: e.InternalDestination, RemoteName: e.RemoteName, State: e.TCPState,
	})
}

// eventOf leaves out what does not apply to the event's ID and keeps what does,
// even where it is zero: a deleted binding's sessionCount is 0, not gone.
func eventOf(e event.Event) api.Event {
	out := api.Event{
		Time: e.Time, ID: uint16(e.ID), Name: e.Name, Level: string(e.Level),
		NAT: e.NAT, Network: e.Network, Compartment: e.Compartment,
		Internal: e.Internal, InternalDestination: e.InternalDestination,
		External: e.External, ExternalDestination: e.ExternalDestination,
		Endpoint: e.Endpoint, RemoteName: e.RemoteName, Cause: string(e.Cause), Lost: e.Lost, Author: e.Author,
		Description: e.Description, Short: e.Short(), Message: e.Message(),
	}
	if e.Drop != nil {
		d := dropOf(*e.Drop)
		out.Drop = &d
	}
	if e.Packet != nil {
		out.Packet = eventPacketOf(e.Packet)
	}
	if e.Protocol != 0 {
		out.Protocol = protocolOf(e.Protocol)
	}
	switch {
	case e.ID.OfSession():
		out.Handshake = handshakeOf(e.Handshake)
		out.LifetimeSeconds, out.TCPState = &e.LifetimeSeconds, api.TCPState(e.TCPState.String())
	case e.ID.OfBinding():
		out.SessionCount, out.Configured = &e.SessionCount, &e.Configured
	}
	return out
}
