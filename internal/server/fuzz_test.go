package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// refusing is a Service that refuses what the one below expects to be right,
// with the words that it got.
type refusing struct{ *servertest.Service }

func (refusing) CreateNetwork(_ context.Context, spec config.NetworkSpec) (model.Network, error) {
	return model.Network{}, model.Errorf(model.Invalid, "subnet %q", spec.Subnet)
}

func (refusing) RenumberNetwork(_ context.Context, _, subnet string) (config.Renumbering, error) {
	return config.Renumbering{}, model.Errorf(model.Conflict, "subnet %q", subnet)
}

func (refusing) AddMapping(_ context.Context, spec config.MappingSpec) (control.MappingView, error) {
	return control.MappingView{}, model.Errorf(model.Conflict, "mapping %+v", spec).WithHint("not %s", spec.External)
}

func (refusing) AddAddress(_ context.Context, in, spec string) (control.AddressView, error) {
	return control.AddressView{}, model.Errorf(model.NotFound, "%s %s", in, spec)
}

func (refusing) AddReservation(_ context.Context, spec config.ReservationSpec) (model.Reservation, error) {
	return model.Reservation{}, model.Errorf(model.Invalid, "reservation %+v", spec)
}

func (refusing) AddProxy(_ context.Context, spec config.ProxySpec) (control.ProxyView, error) {
	return control.ProxyView{}, model.Errorf(model.Denied, "proxy %+v", spec)
}

func (refusing) AddPool(_ context.Context, spec config.PoolSpec) (model.Pool, error) {
	return model.Pool{}, model.Errorf(model.Invalid, "pool %+v", spec)
}

var fuzzMethods = []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut, http.MethodHead}

// FuzzRequest: whatever is asked, the answer is one of the documented kind, and
// a refusal says why.
func FuzzRequest(f *testing.F) {
	seeds := [][2]string{
		{"/v1/mappings", `{"protocol":"tcp","external":"8080","internal":"web1:80","from":["10.0.0.0/8"]}`},
		{"/v1/networks", `{"name":"x","subnet":"10.1.0.0/24","adopt":true}`},
		{"/v1/nats", `{"name":"x","profile":"winnat"}`}, {"/v1/nats/default", `{"settings":{"hold-down":"60"}}`},
		{"/v1/sessions?nat=default&protocol=tcp&state=established", ""}, {"/v1/sessions?all=maybe", ""}, {"/v1/networks/web?force=true", ""},
		{"/v1/endpoints", `{"name":"c9","network":"web","netns":"x"}`}, {"/v1/mappings/-1", ""}, {"/v1/nats/%2e%2e%2f", ""}, {"/", "["},
	}
	for _, rt := range routes() {
		seeds = append(seeds, [2]string{rt.path, "{}"})
	}
	for i, s := range seeds {
		f.Add(uint8(i), s[0], s[1])
	}
	service := refusing{servertest.Example()}
	f.Fuzz(func(t *testing.T, method uint8, target, body string) {
		if u, err := url.ParseRequestURI(target); err != nil || u.Host != "" || u.Scheme != "" || target[0] != '/' {
			t.Skip("no server gets such a target")
		}
		for _, c := range target {
			if c <= ' ' || c == 0x7f {
				t.Skip("no request line has this")
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // streams go on until then
		defer cancel()
		verb := fuzzMethods[int(method)%len(fuzzMethods)]
		w := do(ctx, service, verb, target, body)
		checkAnswer(t, w.Code, w.Body.Bytes())
	})
}

func checkAnswer(t *testing.T, code int, body []byte) {
	t.Helper()
	known := []int{200, 201, 204, 301, 307, 308, 400, 403, 404, 405, 409, 500, 503, 504}
	if !slices.Contains(known, code) {
		t.Errorf("status %d: %s", code, body)
	}
	if code < 400 {
		return
	}
	var refusal struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &refusal); err != nil || refusal.Error.Code == "" || refusal.Error.Message == "" {
		t.Errorf("status %d with %q: %v", code, body, err)
	}
}

// A body whose keys or levels are as many as it holds costs what its length says: it is
// refused, or read, and neither the stack nor the processor is used up.
func TestBodyWithoutEnd(t *testing.T) {
	t.Parallel()
	var keys strings.Builder
	for i := range 80_000 {
		fmt.Fprintf(&keys, `"k%d":"",`, i)
	}
	many := `{"labels":{` + strings.TrimSuffix(keys.String(), ",") + "}}"
	// Of three times the least: others use the processors too.
	least := func(read func() error) time.Duration {
		took := time.Hour
		for range 3 {
			begin := time.Now()
			if err := read(); err != nil {
				t.Fatal(err)
			}
			took = min(took, time.Since(begin))
		}
		return took
	}
	decoded := least(func() error { return json.Unmarshal([]byte(many), new(map[string]map[string]string)) })
	checked := least(func() error { return checkKeys([]byte(many), []string{"labels"}) })
	if checked > 50*decoded { // it was 500 times as much, with a comparison of each key with each
		t.Errorf("to check keys takes %v, to decode them %v", checked, decoded)
	}
	for _, open := range []string{"[", `{"a":`, `{"a":[`} {
		err := checkKeys([]byte(`{"labels":`+strings.Repeat(open, 3<<20)), []string{"labels"})
		if err == nil || !strings.Contains(err.Error(), "levels") {
			t.Errorf("%q without end: %v", open, err)
		}
	}
}
