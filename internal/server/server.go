package server

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// document is the OpenAPI description of what routes returns.
//
//go:embed openapi.json
var document []byte

// stopTime is how long Serve waits for running operations when it is to end.
const stopTime = 10 * time.Second

// Server answers API requests with a Service.
type Server struct {
	service Service
	version string
	log     *slog.Logger
	mux     *http.ServeMux
	// stopping ends streams, which would otherwise outlast a graceful stop.
	stopping context.Context
	stop     context.CancelFunc
}

// NewServer returns a Server. Version is what it calls itself.
func NewServer(service Service, version string, log *slog.Logger) *Server {
	s := &Server{service: service, version: version, log: log, mux: http.NewServeMux()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	for _, rt := range routes() {
		s.mux.HandleFunc(rt.method+" "+rt.path, s.handler(rt))
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, model.Errorf(model.NotFound, "there is no operation %s %s", r.Method, r.URL.Path).
			WithHint("GET /v1/openapi.json lists them"))
	})
	return s
}

// ServeHTTP answers one request. Changes need a peer that withPeer has put
// into the request's context, as Serve does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve answers on l until ctx ends, lets running operations finish and then
// returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ConnContext:       withPeer,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := h.Shutdown(grace); err != nil {
		s.log.Warn("some API requests did not end in time", "error", err)
		_ = h.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) handler(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := authorize(r)
		if err == nil {
			err = rt.handle(s, w, r)
		}
		if err == nil {
			return
		}
		if model.CodeOf(err) == model.Internal {
			s.log.Error("API request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		writeError(w, err)
	}
}
