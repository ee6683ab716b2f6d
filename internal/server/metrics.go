package server

import (
	"bytes"
	"net/http"

	"github.com/hostnat/hostnat/internal/metrics"
)

// plainText marks a route whose answer is text, not JSON.
type plainText struct{}

// metricsRoutes has a path without a version: where Prometheus looks if it is not
// told otherwise.
func metricsRoutes() []route {
	return []route{{method: http.MethodGet, path: "/metrics", out: plainText{}, handle: serveMetrics}}
}

func serveMetrics(s *Server, w http.ResponseWriter, r *http.Request) error {
	m, err := inTurn(s, r, func(service Service, r *http.Request) (metrics.Snapshot, error) { return service.Metrics(r.Context()) })
	if err != nil {
		return err
	}
	if m.Version == "" {
		m.Version = s.version
	}
	m.API = metrics.API(s.connections.clients())
	var text bytes.Buffer
	if err := metrics.Write(&text, m); err != nil {
		return err
	}
	w.Header().Set("Content-Type", metrics.ContentType)
	_, _ = text.WriteTo(w)
	return nil
}
