package model_test

import (
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

func TestHandshakeText(t *testing.T) {
	t.Parallel()
	for want, h := range map[string]model.Handshake{
		"": {},
		"the endpoint answered in 85µs, the outside answered in 23.4ms":                {EndpointMicroseconds: 85, OutsideMicroseconds: 23_400},
		"the outside answered in 1.02s, the endpoint did not answer, 1 SYN repeated":   {OutsideMicroseconds: 1_020_400, Awaits: model.EndpointSide, RepeatedSYNs: 1},
		"the outside did not answer, 3 SYNs repeated":                                  {Awaits: model.OutsideSide, RepeatedSYNs: 3},
		"the endpoint answered in 1.4ms":                                               {EndpointMicroseconds: 1_400},
		"the endpoint answered in 9.95ms, the outside answered in 1s, 2 SYNs repeated": {EndpointMicroseconds: 9_949, OutsideMicroseconds: 999_999, RepeatedSYNs: 2},
	} {
		if got := h.Text(); got != want {
			t.Errorf("%+v: %q, want %q", h, got, want)
		}
	}
}
