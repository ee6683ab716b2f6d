package server

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// TestPacketsAsEvents: each packet that is wanted, and where others were lost.
func TestPacketsAsEvents(t *testing.T) {
	t.Parallel()
	const (
		kernel     = `"lost":2,"description":"packets, since the kernel's ring was full"`
		here       = `"lost":1,"description":"packets, since this watcher reads too slowly"`
		translated = `"short":"translated: udp 10.0.0.2:40 → 192.0.2.7:53 as 10.0.0.9:41 → 192.0.2.7:53"`
		forwarded  = `"short":"forwarded: udp 10.0.0.9:41 → 192.0.2.7:53, 43 bytes, hv-c1 → outside"`
		skipped    = `"short":"left to the host: udp 10.0.0.2:40 → 192.0.2.7:53, 43 bytes, at hv-c1"`
	)
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"?packets=true", []string{kernel, here, translated, forwarded, skipped}},
		{"?kinds=translated,skipped", []string{kernel, here, translated, skipped}},
		{"?kinds=1035&external=10.0.0.9", []string{kernel, here, forwarded}},
		{"?packets=true&not=translated&protocol=udp", []string{kernel, here, forwarded, skipped}},
		{"?packets=true&remote=192.0.2.8", []string{kernel, here}},
		{"?packets=true&reason=isolated-network", nil},
		{"?packets=true&level=information", nil},
		{"", nil},
	} {
		s := servertest.Example()
		s.Captured = captured()
		s.Captured.Behind = 1
		first, second := &s.Captured.Packets[0], &s.Captured.Packets[1]
		*second = model.CapturedPacket{
			Time: first.Time, ID: 10, Program: first.Program, Link: first.Link, Network: first.Network, Endpoint: first.Endpoint, Ethernet: true,
			Verdict: model.VerdictLeft, CameLength: 43, Length: 43, Came: first.Came, Went: first.Came,
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		w := do(ctx, s, "GET", "/v1/events"+tt.query, "")
		stop()
		body := w.Body.String()
		for _, line := range []string{kernel, here, translated, forwarded, skipped} {
			wanted := false
			for _, l := range tt.want {
				wanted = wanted || l == line
			}
			if w.Code != http.StatusOK || strings.Contains(body, line) != wanted {
				t.Errorf("%s: %d, %s: wanted %t in\n%s", tt.query, w.Code, line, wanted, body)
			}
		}
	}
}

// TestPacketEventsAreNotForReaders: they slow the traffic of all.
func TestPacketEventsAreNotForReaders(t *testing.T) {
	t.Parallel()
	ctx := context.WithValue(t.Context(), peerKey{}, peer{uid: 1000, groups: []uint32{1000}})
	if w := do(ctx, servertest.Example(), "GET", "/v1/events?packets=true", ""); w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, query := range []string{"?level=loud", "?reason=because", "?packets=perhaps", "?kinds=packets"} {
		if w := do(t.Context(), servertest.Example(), "GET", "/v1/events"+query, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}
