package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/recording"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// TestRecording: what is sent is a recording, and what cannot be asked for is refused.
func TestRecording(t *testing.T) {
	t.Parallel()
	s := servertest.Example()
	s.Captured = captured()
	w := do(t.Context(), s, "GET", "/v1/recording?count=2&filter=udp", "")
	r, err := recording.Read(w.Body)
	if w.Code != http.StatusOK || err != nil {
		t.Fatalf("%d, %v", w.Code, err)
	}
	if len(r.Packets) != 2 || r.End == nil || *r.End != (recording.End{Packets: 2, Lost: 3}) || r.Begin.Filter != "udp" || !strings.Contains(r.Configuration, "networks:") {
		t.Errorf("%+v, end %+v", r, r.End)
	}
	for _, query := range []string{"?count=0", "?seconds=0", "?seconds=1e9", "?filter=hots", "?length=1"} {
		if w := do(t.Context(), s, "GET", "/v1/recording"+query, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}
