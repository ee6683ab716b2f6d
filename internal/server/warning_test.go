package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// Every object that a change answers with has its warnings in it, and so has the status.
func TestAnswersWarn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ method, path, body string }{
		{"POST", "/v1/networks", `{"name":"x","subnets":["172.16.8.0/24"]}`},
		{"PATCH", "/v1/networks/web", `{"settings":{"dns":"on"}}`},
		{"POST", "/v1/networks/web/renumber", `{"subnet":"172.16.8.0/24"}`},
		{"POST", "/v1/nats", `{"name":"x"}`},
		{"PATCH", "/v1/nats/default", `{"settings":{"mss-clamp":"on"}}`},
		{"POST", "/v1/endpoints", `{"network":"web","name":"x","tap":"tap0"}`},
		{"PATCH", "/v1/endpoints/c1", `{"settings":{"aliases":"a"}}`},
		{"POST", "/v1/mappings", `{"protocol":"tcp","internal":"c1:80"}`},
		{"POST", "/v1/proxies", `{"kind":"v4tov4","listen":"*:1","connect":"c1:1"}`},
		{"POST", "/v1/reservations", `{"network":"web","name":"db","address":"172.16.1.9"}`},
		{"GET", "/v1/status", ""},
	} {
		service := servertest.Example()
		if w := do(t.Context(), service, tt.method, tt.path, tt.body); tt.method != http.MethodGet && strings.Contains(w.Body.String(), "warnings") {
			t.Errorf("%s %s without a warning: %s", tt.method, tt.path, w.Body)
		}
		service.Warned = []string{"nobody meant that"}
		w := do(t.Context(), service, tt.method, tt.path, tt.body)
		var answer api.Advice
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || !slices.Equal(answer.Warnings, service.Warned) {
			t.Errorf("%s %s: %d %s, %v", tt.method, tt.path, w.Code, w.Body, err)
		}
	}
}
