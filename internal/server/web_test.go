package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// askAs sends a request of the web page to a server, as that user.
func askAs(p peer, service Service, method, target string) *httptest.ResponseRecorder {
	s := NewServer(Options{Service: service, Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	ctx := context.WithValue(context.Background(), peerKey{}, p)
	s.answerPage(w, httptest.NewRequestWithContext(ctx, method, target, nil))
	return w
}

// The page gets sums and lists of what is configured; it may end a session, and no more.
func TestWhatThePageMayAsk(t *testing.T) {
	t.Parallel()
	const session = "/v1/sessions?protocol=tcp&internal=172.16.1.2:40000&remote=192.0.2.7:443"
	for request, want := range map[string]int{
		"GET /v1/status": 200, "GET /v1/traffic?count=5": 200, "GET /v1/networks": 200, "GET /v1/endpoints": 200, "GET /v1/ports": 200,
		"GET /v1/history?since=2026-11-30T03:10:00Z": 200, "DELETE " + session: 200,
		"DELETE /v1/sessions": 403, "DELETE /v1/sessions?all=true": 403, "DELETE /v1/sessions?protocol=tcp": 403,
		"DELETE /v1/sessions?protocol=tcp&internal=&remote=192.0.2.7": 403,
		"GET /v1/sessions": 403, "GET /v1/bindings": 403, "GET /v1/web": 403, "GET /v1/capture": 403, "GET /metrics": 403, "GET /v1/configuration": 403,
		"POST /v1/networks": 403, "DELETE /v1/networks/web": 403, "POST /v1/down": 403, "POST /v1/restore": 403, "PATCH /v1/nats/default": 403,
		"GET /v1//status": 403, "GET /v1/status/../web": 403, "HEAD /v1/status": 403,
	} {
		method, target, _ := strings.Cut(request, " ")
		if w := askAs(peer{uid: 1000, web: true}, servertest.Example(), method, target); w.Code != want {
			t.Errorf("%s: %d, want %d: %s", request, w.Code, want, w.Body)
		}
	}
}

// A connection that came by TCP is nobody's: not even root's own may do anything without
// the token.
func TestPeersOfThePageAreNotTrusted(t *testing.T) {
	t.Parallel()
	for _, uid := range []uint32{0, 1000, unknownUser} {
		p := peer{uid: uid, web: true}
		if p.trusted() {
			t.Errorf("user %d is trusted without a token", uid)
		}
		if p.token = true; !p.trusted() {
			t.Errorf("user %d is not trusted with it", uid)
		}
	}
	if got := (peer{uid: 1000, web: true, token: true}).String(); got != "uid 1000 (web page)" {
		t.Errorf("events name %q", got)
	}
}

func TestWebURL(t *testing.T) {
	t.Parallel()
	s := NewServer(Options{Service: servertest.Example(), Log: slog.New(slog.DiscardHandler), Readers: ReadersAll})
	askOver := func(uid uint32) (*httptest.ResponseRecorder, api.Web) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, peer{uid: uid}), "GET", "/v1/web", nil))
		var got api.Web
		_ = json.Unmarshal(w.Body.Bytes(), &got)
		return w, got
	}
	if w, _ := askOver(0); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "--web 127.0.0.1:8642") {
		t.Errorf("without a page: %d %s", w.Code, w.Body)
	}
	url := "http://127.0.0.1:8642/#token=ab"
	s.page.Store(&url)
	if _, got := askOver(0); got.URL != url {
		t.Errorf("root is told %q", got.URL)
	}
	if w, _ := askOver(1000); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "token=") {
		t.Errorf("others are told %s", w.Body)
	}
}

// The page's connections count as their users', and leave the socket its own.
func TestPageTakesNothingFromTheSocket(t *testing.T) {
	t.Parallel()
	s := NewServer(Options{Service: servertest.Example(), Log: slog.New(slog.DiscardHandler), Files: 64}) // 16 for a user
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	url := "http://" + l.Addr().String() + "/#token=ab"
	go func() {
		done <- s.ServePage(ctx, l, Page{URL: url, Handler: func(api http.Handler) http.Handler { return api },
			UserOf: func(client, server netip.AddrPort) (uint32, bool) { return 0, server.String() == l.Addr().String() }})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}()
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	// Root's by their socket: by TCP they are an ordinary user's.
	if c := s.connections.clients(); c.Connections != 16 || c.ClosedIdle != 4 {
		t.Errorf("of 20 connections %d are open, and %d were closed; want 16, 4", c.Connections, c.ClosedIdle)
	}
	root, end := client(t, 0)
	defer end.Close()
	if !s.connections.admit(root, root.idleSince) {
		t.Error("root's connection to the socket is refused")
	}
}
