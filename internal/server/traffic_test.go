package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// What the document says of parameters is taken, and nothing else.
func TestTrafficQueries(t *testing.T) {
	t.Parallel()
	op := parsed(t).Paths["/v1/traffic"]["get"]
	if diff := cmp.Diff([]string{"count", "endpoint", "match", "order"}, parameters(op, "query")); diff != "" {
		t.Errorf("parameters (-handler +document):\n%s", diff)
	}
	for query, tt := range map[string]struct {
		status   int
		sessions int
		want     string // of a refusal
	}{
		"":                                   {200, 1, ""},
		"?count=1&order=packets&endpoint=c1": {200, 1, ""},
		"?match=192.0.2.7:443":               {200, 1, ""},
		"?match=no+such+text&order=opened":   {200, 0, ""},
		"?endpoint=c2&order=name&count=1000": {200, 0, ""},
		"?order=sessions&order=bytes":        {400, 0, "more than once"},
		"?order=size":                        {400, 0, "use bytes, packets, sessions, opened or name"},
		"?count=0":                           {400, 0, "use one from 1 to 1000"},
		"?count=1001":                        {400, 0, "use one from 1 to 1000"},
		"?count=many":                        {400, 0, "is not a number of rows"},
		"?protocol=tcp":                      {400, 0, "use count, endpoint, match, order"},
	} {
		w := do(t.Context(), servertest.Example(), http.MethodGet, "/v1/traffic"+query, "")
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: got %d %s", query, w.Code, w.Body)
		}
		var got api.Traffic
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Active) != tt.sessions || len(got.Endpoints) > tt.sessions {
			t.Errorf("%s: %v, %+v", query, err, got)
		}
	}
	w := do(t.Context(), servertest.Empty(), http.MethodGet, "/v1/traffic", "")
	if got := w.Body.String(); !strings.Contains(got, `"endpoints":[],"active":[]`) {
		t.Errorf("without sessions: %s", got)
	}
}
