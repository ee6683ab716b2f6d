package control

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// Who asks gets what the kernel has, and is refused what makes no sense.
func TestTraffic(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	at := func(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
	k.sessions = []model.Session{
		{Endpoint: "c1", Network: "web", Compartment: "default", Internal: at("172.16.1.2:1"), Remote: at("192.0.2.1:80")},
		{Endpoint: "c1", Network: "web", Compartment: "default", Internal: at("172.16.1.2:2"), Remote: at("192.0.2.1:443")},
	}
	got, err := c.Traffic(t.Context(), traffic.Query{Match: ":443", Count: 5})
	if err != nil || got.Over != 0 || got.Sessions != 2 || got.MatchingSessions != 1 || len(got.Active) != 1 || len(got.Drops) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Traffic(t.Context(), traffic.Query{Order: "size"}); model.CodeOf(err) != model.Invalid {
		t.Errorf("an order that is not there: %v", err)
	}
	c.traffic = traffic.Meter{}
	k.broken = errors.New("no table")
	if _, err := c.Traffic(t.Context(), traffic.Query{}); !errors.Is(err, k.broken) {
		t.Errorf("without a table: %v", err)
	}
}
