package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hostnat/hostnat/internal/server/servertest"
)

// What everybody may read is the status, unless the daemon is told otherwise.
func TestReaders(t *testing.T) {
	t.Parallel()
	other := peer{uid: 1000, groups: []uint32{1000}}
	for _, tt := range []struct {
		readers Readers
		who     any
		path    string
		status  int
	}{
		{ReadersGroup, other, "/v1/status", http.StatusOK},
		{ReadersGroup, other, "/v1/version", http.StatusOK},
		{ReadersGroup, other, "/v1/openapi.json", http.StatusOK},
		{ReadersGroup, other, "/v1/sessions", http.StatusForbidden},
		{ReadersGroup, other, "/v1/events", http.StatusForbidden},
		{ReadersGroup, other, "/v1/endpoints/c1", http.StatusForbidden},
		{ReadersGroup, "no peer", "/v1/nats", http.StatusForbidden},
		{ReadersGroup, peer{uid: 0}, "/v1/sessions", http.StatusOK},
		{"", other, "/v1/sessions", http.StatusForbidden},
		{ReadersAll, other, "/v1/sessions", http.StatusOK},
	} {
		s := NewServer(Options{Service: servertest.Example(), Log: slog.New(slog.DiscardHandler), Readers: tt.readers})
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, tt.who), http.MethodGet, tt.path, nil))
		if w.Code != tt.status {
			t.Errorf("%q, %v reads %s: got %d %s", tt.readers, tt.who, tt.path, w.Code, w.Body)
		}
	}
}
