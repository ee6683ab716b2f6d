package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// stream marks a route whose answer is events, one JSON object a line.
type stream struct{}

func eventRoutes() []route {
	return []route{{method: http.MethodGet, path: "/v1/events", out: stream{}, handle: serveEvents}}
}

// serveEvents sends events until the client goes away or the server stops.
// The header is sent at once: a client that has it misses nothing after it.
func serveEvents(s *Server, w http.ResponseWriter, r *http.Request) error {
	p, _ := r.Context().Value(peerKey{}).(peer)
	done, ok := s.connections.watch(watcher{uid: p.uid, trusted: p.trusted()})
	if !ok {
		return model.Errorf(model.Unavailable, "the daemon has as many streams of events as it takes").WithHint("end some, or try again later")
	}
	defer done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	events, err := s.service.Watch(ctx)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.EventStream)
	w.WriteHeader(http.StatusOK)
	sendEvents(w, events)
	return nil
}

func sendEvents(w http.ResponseWriter, events <-chan event.Event) {
	flusher, lines := http.NewResponseController(w), json.NewEncoder(w)
	if flusher.Flush() != nil {
		return
	}
	for e := range events {
		_ = flusher.SetWriteDeadline(time.Now().Add(answerTime)) // who does not read is no watcher
		if lines.Encode(eventOf(e)) != nil {
			return
		}
		// A burst goes out in few writes.
		if len(events) == 0 && flusher.Flush() != nil {
			return
		}
	}
}

// eventOf leaves out what does not apply to the event's ID and keeps what does,
// even where it is zero: a deleted binding's sessionCount is 0, not gone.
func eventOf(e event.Event) api.Event {
	out := api.Event{
		Time: e.Time, ID: uint16(e.ID), Name: e.Name, Level: string(e.Level),
		NAT: e.NAT, Network: e.Network, Compartment: e.Compartment,
		Internal: e.Internal, InternalDestination: e.InternalDestination,
		External: e.External, ExternalDestination: e.ExternalDestination,
		Description: e.Description, Message: e.Message(),
	}
	if e.Protocol != 0 {
		out.Protocol = protocolOf(e.Protocol)
	}
	switch {
	case e.ID.OfSession():
		out.LifetimeSeconds, out.TCPState = &e.LifetimeSeconds, api.TCPState(e.TCPState.String())
	case e.ID.OfBinding():
		out.SessionCount, out.Configured = &e.SessionCount, &e.Configured
	}
	return out
}
