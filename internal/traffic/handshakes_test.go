package traffic

import (
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// TestHandshakes: each side has its own, an answer is in the bucket that is named by the
// smallest bound that it does not exceed, and networks that are gone go.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	var h Handshakes
	for _, of := range []model.Handshake{
		{EndpointMicroseconds: 1, OutsideMicroseconds: 100},
		{OutsideMicroseconds: 101, Awaits: model.EndpointSide},
		{EndpointMicroseconds: 6_000_000, RepeatedSYNs: 2, Awaits: model.OutsideSide},
		{},
	} {
		h.Add("web", of)
	}
	h.Add("", model.Handshake{EndpointMicroseconds: 1})
	h.Add("lab", model.Handshake{EndpointMicroseconds: 1})
	before := h.Clone()
	h.Keep(func(network string) bool { return network == "web" })
	got := h.Networks["web"]
	var want NetworkHandshakes
	want.Endpoint.Buckets[0], want.Endpoint.Buckets[len(RoundTripBounds)] = 1, 1
	want.Endpoint.Microseconds, want.Endpoint.Unanswered = 6_000_001, 1
	want.Outside.Buckets[0], want.Outside.Buckets[1] = 1, 1
	want.Outside.Microseconds, want.Outside.Unanswered = 201, 1
	want.RepeatedSYNs = 2
	if got != want || len(h.Networks) != 1 || len(before.Networks) != 2 {
		t.Errorf("%+v, want %+v; networks %v, before %v", got, want, h.Networks, before.Networks)
	}
}
