package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/event"
)

func statusRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/v1/openapi.json", out: map[string]any{}, handle: serveDocument},
		{method: http.MethodGet, path: "/v1/version", out: api.Version{}, handle: serveVersion},
		{method: http.MethodGet, path: "/v1/status", out: api.Status{}, handle: serveStatus},
		act(http.MethodPost, "/v1/down", func(ctx context.Context, s Service, _ *http.Request) error {
			return s.Down(ctx)
		}),
		change(http.MethodPost, "/v1/restore", http.StatusOK, func(ctx context.Context, s Service, _ *http.Request, in api.Restoration) (api.Restored, error) {
			revision, err := s.Restore(ctx, in)
			return api.Restored{Revision: revision}, err
		}),
	}
}

func serveDocument(_ *Server, w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
	return nil
}

func serveVersion(s *Server, w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, api.Version{Version: s.version})
}

func serveStatus(s *Server, w http.ResponseWriter, r *http.Request) error {
	status, err := s.service.Status(r.Context())
	if err != nil {
		return err
	}
	if status.Version == "" {
		status.Version = s.version
	}
	answer := statusOf(status)
	answer.Clients = s.connections.clients()
	return writeJSON(w, http.StatusOK, answer)
}

func statusOf(s control.Status) api.Status {
	return api.Status{
		Version: s.Version, PID: s.PID, UptimeSeconds: s.UptimeSeconds,
		NATs: s.NATs, Networks: s.Networks, Endpoints: s.Endpoints, Mappings: s.Mappings,
		Bindings: s.Bindings, Sessions: s.Sessions, MaxSessions: s.MaxSessions,
		Drops: s.Drops, DropReasons: reasonsOf(s.Drops), Problems: s.Problems, Warnings: s.Warnings,
		ExternalAddresses: each(s.ExternalAddresses, addressOf),
	}
}

// reasonsOf says what the reasons mean that packets were dropped for.
func reasonsOf(drops map[string]uint64) map[string]string {
	meanings := make(map[string]string)
	for name, packets := range drops {
		if r, known := event.ParseReason(name); known && packets > 0 {
			meanings[name] = r.Describe()
		}
	}
	return meanings
}
