package server

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
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
	service     Service
	version     string
	log         *slog.Logger
	readers     Readers
	connections *connections
	others      *others
	mux         *http.ServeMux
	waits       error                  // the refusal of what needs a configuration; nil: there is one
	page        atomic.Pointer[string] // the web page's URL, with its token; nil: there is none
	// stopping ends streams, which would otherwise outlast a graceful stop.
	stopping context.Context
	stop     context.CancelFunc
}

// Options is what a Server needs.
type Options struct {
	Service Service
	Version string // what the server calls itself
	Log     *slog.Logger
	Readers Readers // empty: ReadersGroup
	Files   int     // how many connections the server may have open; 0: 1024
	PageURL string  // of the web page, with its token, if that is already listened for; see ServePage
}

// NewServer returns a Server.
func NewServer(o Options) *Server {
	s := &Server{
		service: o.Service, version: o.Version, log: o.Log, readers: o.Readers,
		connections: newConnections(LimitsFor(cmp.Or(o.Files, 1024))), mux: http.NewServeMux(),
		others: newOthers(),
	}
	if o.PageURL != "" {
		s.page.Store(&o.PageURL)
	}
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

// NewWaitingServer returns a Server of a daemon that has no configuration yet: of
// the Service it asks Status, Doctor, Down and Restore alone, and answers
// everything else with the refusal.
func NewWaitingServer(o Options, refusal error) *Server {
	s := NewServer(o)
	s.waits = refusal
	return s
}

// whileWaiting are the paths that need no configuration.
var whileWaiting = map[string]bool{
	"/v1/openapi.json": true, "/v1/version": true, "/v1/status": true, "/v1/doctor": true, "/v1/down": true, "/v1/restore": true,
}

// ServeHTTP answers one request. Changes need a peer that withPeer has put
// into the request's context, as Serve does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve answers on l until ctx ends, lets running operations finish and then
// returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, limited{l, s.connections, peerOf}, s)
}

func (s *Server) serve(ctx context.Context, l limited, handler http.Handler) error {
	h := &http.Server{
		Handler:           handler,
		ConnContext:       withPeer,
		ConnState:         s.connections.changed,
		ReadHeaderTimeout: requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    16 << 10,
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

// How long the server waits for a client.
const (
	requestTime = 10 * time.Second // for a request, from its first byte to its last
	answerTime  = 30 * time.Second // for a client to take a part of an answer
	idleTime    = time.Minute      // for the next request
)

func (s *Server) handler(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		setDeadlines(w, r)
		err := s.authorize(r)
		if err == nil && !whileWaiting[rt.path] {
			err = s.waits
		}
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

// setDeadlines has a body come in time, and the answer be taken in time. A
// deadline for reading that stays would end the request's context.
func setDeadlines(w http.ResponseWriter, r *http.Request) {
	now, conn := time.Now(), http.NewResponseController(w)
	_ = conn.SetWriteDeadline(now.Add(answerTime))
	if r.ContentLength == 0 {
		_ = conn.SetReadDeadline(time.Time{})
		return
	}
	_ = conn.SetReadDeadline(now.Add(requestTime))
}
