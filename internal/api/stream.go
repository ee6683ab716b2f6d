package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/hostnat/hostnat/internal/event"
)

// stream marks a route whose answer is events, one JSON object a line.
type stream struct{}

const ndjson = "application/x-ndjson"

// serveEvents sends events until the client goes away or the server stops.
// The header is sent at once: a client that has it misses nothing after it.
func serveEvents(s *Server, w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	events, err := s.service.Watch(ctx)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", ndjson)
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
		if lines.Encode(e) != nil {
			return
		}
		// A burst goes out in few writes.
		if len(events) == 0 && flusher.Flush() != nil {
			return
		}
	}
}

// Watch sends the daemon's events until ctx ends or the daemon stops.
func (c *Client) Watch(ctx context.Context) (<-chan event.Event, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != ndjson {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("watch events: the answer is %q, not a stream", got)
	}
	events := make(chan event.Event, 64)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		for lines := json.NewDecoder(resp.Body); ; {
			var e event.Event
			if lines.Decode(&e) != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events, nil
}
