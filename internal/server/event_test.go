package server

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// What does not apply to an event is left out; what does is there, even if it
// is 0.
func TestEventsInJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	session := event.New(event.SessionCreate, at)
	session.Protocol, session.NAT, session.Network, session.Compartment = model.TCP, "default", "web", "default"
	session.Internal, session.InternalDestination = netip.MustParseAddrPort("172.16.1.2:40000"), netip.MustParseAddrPort("192.0.2.7:80")
	session.External, session.ExternalDestination = netip.MustParseAddrPort("203.0.113.5:1227"), session.InternalDestination
	binding := event.New(event.BindingDelete, at)
	binding.Protocol, binding.NAT, binding.Network, binding.Compartment = model.UDP, "default", "web", "default"
	binding.Internal, binding.External = session.Internal, session.External
	ports := event.New(event.OutOfPorts, at)
	ports.NAT, ports.Protocol = "default", model.UDP
	tests := []struct {
		name  string
		event event.Event
		want  string
	}{
		{"session", session, `{"time":"2026-11-21T12:00:00Z","id":1001,"name":"SessionCreate","level":"information","protocol":"tcp","nat":"default","network":"web","compartment":"default",` +
			`"internal":"172.16.1.2:40000","internalDestination":"192.0.2.7:80","external":"203.0.113.5:1227","externalDestination":"192.0.2.7:80","lifetimeSeconds":0,"tcpState":"none",` +
			`"message":"TCP session created. Internal source 172.16.1.2:40000 (compartment default), internal destination 192.0.2.7:80, external source 203.0.113.5:1227, external destination 192.0.2.7:80, lifetime 0 s, TCP state Closed/NA."}`},
		{"binding", binding, `{"time":"2026-11-21T12:00:00Z","id":1007,"name":"BindingDelete","level":"information","protocol":"udp","nat":"default","network":"web","compartment":"default",` +
			`"internal":"172.16.1.2:40000","external":"203.0.113.5:1227","sessionCount":0,"configured":false,` +
			`"message":"UDP binding deleted. Internal address 172.16.1.2:40000 (compartment default), external address 203.0.113.5:1227, session count 0, configured false."}`},
		{"ports", ports, `{"time":"2026-11-21T12:00:00Z","id":1033,"name":"OutOfPorts","level":"warning","protocol":"udp","nat":"default",` +
			`"message":"NAT default has no free UDP port: all ports it may use are taken."}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(eventOf(tt.event))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
