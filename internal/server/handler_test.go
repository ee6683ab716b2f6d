package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// do sends a request to a server of the service, as uid 0 unless ctx has
// another peer.
func do(ctx context.Context, service Service, method, target, body string) *httptest.ResponseRecorder {
	if ctx.Value(peerKey{}) == nil {
		ctx = context.WithValue(ctx, peerKey{}, peer{uid: 0})
	}
	s := NewServer(Options{Service: service, Version: "test", Log: slog.New(slog.DiscardHandler), Readers: ReadersAll})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body)))
	return w
}

func TestRequests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, target, body string
		status                     int
		want                       string // the whole body, or its beginning
	}{
		{"empty list", "GET", "/v1/mappings", "", 200, "[]\n"},
		{"created", "POST", "/v1/nats", `{"name":"x"}`, 201, `{"name":"x"`},
		{"gone", "POST", "/v1/down", "", 204, ""},
		{"no body", "POST", "/v1/nats", "", 400, `{"error":{"code":"invalid","message":"the request's body is empty; a JSON object is needed"}}`},
		{"half a body", "POST", "/v1/nats", `{"name":`, 400, `{"error":{"code":"invalid","message":"the request's body ends in the middle of its JSON"}}`},
		{"unknown field", "POST", "/v1/nats", `{"nam":"x"}`, 400, `{"error":{"code":"invalid","message":"the request's body has the unknown key \"nam\"; there are externalAddresses, externalInterfaces, labels, name, owner, profile"}}`},
		{"key in other letters", "POST", "/v1/nats", `{"NAME":"x"}`, 400, `{"error":{"code":"invalid","message":"the request's body has the unknown key \"NAME\"`},
		{"key twice", "POST", "/v1/nats", `{"name":"x","name":"y"}`, 400, `{"error":{"code":"invalid","message":"the request's body has the key \"name\" twice"}}`},
		{"key twice, escaped", "POST", "/v1/nats", `{"name":"x","\u006eame":"y"}`, 400, `{"error":{"code":"invalid","message":"the request's body has the key \"name\" twice"}}`},
		{"key twice below", "PATCH", "/v1/nats/default", `{"settings":{"udp-timeout":"5","udp-timeout":"6"}}`, 400, `{"error":{"code":"invalid","message":"the request's body has the key \"udp-timeout\" twice"}}`},
		{"empty value of a list", "POST", "/v1/networks", `{"name":"x","subnets":[""]}`, 400, `{"error":{"code":"invalid","message":"\"subnets\" has an empty value"`},
		{"wrong type", "POST", "/v1/networks", `{"name":"x","adopt":"yes"}`, 400, `{"error":{"code":"invalid","message":"the request's body has a string in \"adopt\", where a bool belongs"}}`},
		{"no object", "POST", "/v1/nats", `["x"]`, 400, `{"error":{"code":"invalid","message":"the request's body is a JSON array; an object is needed"}}`},
		{"no JSON", "POST", "/v1/nats", `name=x`, 400, `{"error":{"code":"invalid","message":"the request's body is no JSON at byte 2`},
		{"two objects", "POST", "/v1/nats", `{"name":"x"}{}`, 400, `{"error":{"code":"invalid","message":"the request's body goes on after its JSON object"}}`},
		{"too large", "POST", "/v1/nats", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 400, `{"error":{"code":"invalid","message":"the request's body is larger than 1048576 bytes"}}`},
		{"unknown query", "GET", "/v1/sessions?protocl=tcp", "", 400, `{"error":{"code":"invalid","message":"query parameter \"protocl\" is not known","hint":"use endpoint, external, internal, nat, network, protocol, remote, remotename, state"}}`},
		{"query twice", "GET", "/v1/sessions?nat=a\u0026nat=b", "", 400, `{"error":{"code":"invalid","message":"query parameter \"nat\" is given more than once"}}`},
		{"bad query", "GET", "/v1/sessions?nat=%zz", "", 400, `{"error":{"code":"invalid","message":"query `},
		{"bad force", "DELETE", "/v1/networks/x?force=maybe", "", 400, `{"error":{"code":"invalid","message":"force=\"maybe\" is neither true nor false"}}`},
		{"bad all", "DELETE", "/v1/sessions?all=maybe", "", 400, `{"error":{"code":"invalid","message":"all=\"maybe\" is neither true nor false"}}`},
		{"misspelt filter", "DELETE", "/v1/sessions?endpont=c1", "", 400, `{"error":{"code":"invalid","message":"query parameter \"endpont\" is not known","hint":"use all, endpoint, `},
		{"all sessions", "DELETE", "/v1/sessions?all=true", "", 200, `{"ended":0}`},
		{"unknown query of ports", "GET", "/v1/ports?port=80", "", 400, `{"error":{"code":"invalid","message":"query parameter \"port\" is not known","hint":"use ports, protocol"}}`},
		{"bad proxy id", "DELETE", "/v1/proxies/-1", "", 400, `{"error":{"code":"invalid","message":"port proxy id \"-1\" is not a number"}}`},
		{"bad id", "DELETE", "/v1/mappings/-1", "", 400, `{"error":{"code":"invalid","message":"mapping id \"-1\" is not a number"}}`},
		{"not there", "GET", "/v1/nats/nope", "", 404, `{"error":{"code":"not_found","message":"NAT \"nope\" does not exist"}}`},
		{"no such path", "GET", "/v2", "", 404, `{"error":{"code":"not_found","message":"there is no operation GET /v2","hint":"GET /v1/openapi.json lists them"}}`},
		{"no such method", "PUT", "/v1/nats", "", 404, `{"error":{"code":"not_found","message":"there is no operation PUT /v1/nats"`},
		{"document", "GET", "/v1/openapi.json", "", 200, "{\n  \"openapi\": \"3.1.0\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := do(t.Context(), servertest.Empty(), tt.method, tt.target, tt.body)
			if w.Code != tt.status || !strings.HasPrefix(w.Body.String(), tt.want) {
				t.Errorf("got %d %.300s\nwant %d %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
}

func TestErrorStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err    error
		status int
		want   string
	}{
		{model.Errorf(model.Conflict, "taken"), http.StatusConflict, `{"error":{"code":"conflict","message":"taken"}}`},
		{model.Errorf(model.Exhausted, "full"), http.StatusConflict, `{"error":{"code":"exhausted","message":"full"}}`},
		{model.Errorf(model.Denied, "no"), http.StatusForbidden, `{"error":{"code":"denied","message":"no"}}`},
		{model.Errorf(model.Unavailable, "old"), http.StatusServiceUnavailable, `{"error":{"code":"unavailable","message":"old"}}`},
		{fmt.Errorf("load: %w", model.Errorf(model.Unavailable, "old").WithHint("upgrade")), http.StatusServiceUnavailable, `{"error":{"code":"unavailable","message":"load: old; upgrade"}}`},
		{errors.New("boom"), http.StatusInternalServerError, `{"error":{"code":"internal","message":"boom"}}`},
		{model.Errorf("strange", "?"), http.StatusInternalServerError, `{"error":{"code":"strange","message":"?"}}`},
	}
	for _, tt := range tests {
		service := servertest.Empty()
		service.Err = tt.err
		w := do(t.Context(), service, "GET", "/v1/nats", "")
		if w.Code != tt.status {
			t.Errorf("%v: status %d, want %d", tt.err, w.Code, tt.status)
		}
		if diff := cmp.Diff(tt.want+"\n", w.Body.String()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.err, diff)
		}
	}
}

// Whose program has which socket is not everybody's business.
func TestProgramsAreHiddenFromOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		who       any
		want, not string
	}{
		{peer{uid: 0}, "sshd (pid 41)", "a program"},
		{peer{uid: 1000, groups: []uint32{1000}}, "a program of the host", "sshd"},
		{"no peer", "a program of the host", "sshd"},
	} {
		w := do(context.WithValue(t.Context(), peerKey{}, tt.who), servertest.Example(), "GET", "/v1/ports", "")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"owner":"`+tt.want+`"`) || strings.Contains(w.Body.String(), tt.not) {
			t.Errorf("%v: got %d %s, want %s", tt.who, w.Code, w.Body, tt.want)
		}
	}
}

func TestOnlyRootAndTheGroupChange(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		peer   any
		method string
		status int
	}{
		{"root", peer{uid: 0}, "POST", http.StatusNoContent},
		{"another user", peer{uid: 1000, groups: []uint32{1000, 27}}, "POST", http.StatusForbidden},
		{"nobody known", "no peer", "POST", http.StatusForbidden},
		{"another user reads", peer{uid: 1000}, "GET", http.StatusOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := map[string]string{"POST": "/v1/down", "GET": "/v1/nats"}[tt.method]
			w := do(context.WithValue(t.Context(), peerKey{}, tt.peer), servertest.Empty(), tt.method, target, "")
			if w.Code != tt.status {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tt.status)
			}
		})
	}
}
