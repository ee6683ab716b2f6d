package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
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
			`"internal":"172.16.1.2:40000","internalDestination":"192.0.2.7:80","external":"203.0.113.5:1227","externalDestination":"192.0.2.7:80","lifetimeSeconds":0,"tcpState":"none","short":"session created: tcp 172.16.1.2:40000 → 192.0.2.7:80, outside 203.0.113.5:1227",` +
			`"message":"TCP session created. Internal source 172.16.1.2:40000 (compartment default), internal destination 192.0.2.7:80, external source 203.0.113.5:1227, external destination 192.0.2.7:80, lifetime 0 s, TCP state Closed/NA."}`},
		{"binding", binding, `{"time":"2026-11-21T12:00:00Z","id":1007,"name":"BindingDelete","level":"information","protocol":"udp","nat":"default","network":"web","compartment":"default",` +
			`"internal":"172.16.1.2:40000","external":"203.0.113.5:1227","sessionCount":0,"configured":false,"short":"binding deleted: udp 172.16.1.2:40000 = 203.0.113.5:1227",` +
			`"message":"UDP binding deleted. Internal address 172.16.1.2:40000 (compartment default), external address 203.0.113.5:1227, session count 0, configured false."}`},
		{"ports", ports, `{"time":"2026-11-21T12:00:00Z","id":1033,"name":"OutOfPorts","level":"warning","protocol":"udp","nat":"default","short":"NAT default has no free UDP port: all ports it may use are taken.",` +
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

// Which events a client gets, and what is asked for wrongly.
func TestEventsAreSelected(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 3, 10, 0, 0, time.UTC)
	session := event.New(event.SessionCreate, at)
	session.Protocol, session.NAT, session.Network, session.Endpoint = model.TCP, "default", "web", "c1"
	session.Internal, session.InternalDestination = netip.MustParseAddrPort("172.16.1.2:40000"), netip.MustParseAddrPort("192.0.2.7:80")
	binding := event.New(event.BindingDelete, at)
	binding.Protocol, binding.Network, binding.Endpoint, binding.Internal = model.UDP, "web", "c2", netip.MustParseAddrPort("172.16.1.3:40000")
	drop := event.OfDrop(model.Drop{
		First: at, Last: at, Packets: 1, Reason: "no-route", Link: "hv-c1", Network: "web", Endpoint: "c1", EtherType: 0x0800, Protocol: 6,
		From: session.Internal, To: netip.MustParseAddrPort("192.0.2.9:80"),
	})
	ports := event.New(event.OutOfPorts, at)
	ports.NAT = "default"
	lost := event.New(event.EventsLost, at)
	all := []event.Event{session, binding, drop, ports, lost}
	for _, tt := range []struct {
		query string
		want  string // the events' numbers, or the refusal
	}{
		{"", "1001 1007 1030 1033 2030"},
		{"kinds=drop", "1030 2030"},
		{"kinds=session,binding", "1001 1007 2030"},
		{"kinds=SessionCreate", "1001 2030"},
		{"kinds=1007", "1007 2030"},
		{"not=drop,binding", "1001 1033 2030"},
		{"kinds=session&not=1001", "2030"},
		{"endpoint=c1", "1001 1030 2030"},
		{"endpoint=c1&not=drop", "1001 2030"},
		{"remote=192.0.2.9", "1030 2030"},
		{"protocol=udp", "1007 2030"},
		{"nat=default", "1001 1033 2030"},
		{"kinds=frames", `"frames" is no kind, name or number of events`},
		{"not=", "1001 1007 1030 1033 2030"},
		{"since=yesterday", `since="yesterday" is not a time`},
		{"last=0", `last="0" is not a number of events`},
		{"last=-1&since=2026-11-30T03:10:00Z", `last="-1" is not a number of events`},
		{"protocol=sctp", `protocol "sctp" is not known`},
		{"until=now", `query parameter "until" is not known`},
	} {
		var got []string
		wanted, err := eventWish(servertest.Example(), httptest.NewRequest(http.MethodGet, "/v1/events?"+tt.query, nil))
		if err != nil {
			got = []string{err.(*model.Error).Message}
		} else {
			for _, e := range all {
				if wanted.selects(e) {
					got = append(got, strconv.Itoa(int(e.ID)))
				}
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.query, text, tt.want)
		}
	}
}
