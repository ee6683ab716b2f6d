package test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
)

// TestHandshakesAreInTheMetrics: of a connection that has ended, how long each side took to
// answer.
func TestHandshakesAreInTheMetrics(t *testing.T) {
	h := startHost(t)
	conn := h.dialOut()
	_ = conn.Close()
	if _, err := h.DeleteSessions(t.Context(), api.Filter{Endpoint: "c1"}, false); err != nil {
		t.Fatal(err)
	}
	h.waitFor(20*time.Second, "both sides' round trips", func() bool {
		var text bytes.Buffer
		if err := h.Metrics(t.Context(), &text); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{
			`hostnat_handshake_seconds_count{network="web",side="endpoint"} 1`,
			`hostnat_handshake_seconds_bucket{network="web",side="endpoint",le="+Inf"} 1`,
			`hostnat_handshake_seconds_count{network="web",side="outside"} 1`,
			`hostnat_handshakes_unanswered_total{network="web",side="outside"} 0`,
			`hostnat_repeated_syns_total{network="web"} `,
			"hostnat_handshakes_missed_total 0\n",
		} {
			if !strings.Contains(text.String(), line) {
				return false
			}
		}
		return true
	})
}
