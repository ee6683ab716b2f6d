package event

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/model"
)

var at = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func sessionEvent(id ID) Event {
	e := New(id, at)
	e.Protocol, e.NAT, e.Network, e.Compartment = model.TCP, "default", "web", "default"
	e.Internal = netip.MustParseAddrPort("172.16.1.2:40000")
	e.InternalDestination = netip.MustParseAddrPort("192.0.2.7:80")
	e.External = netip.MustParseAddrPort("203.0.113.5:1227")
	e.ExternalDestination = netip.MustParseAddrPort("192.0.2.7:80")
	e.LifetimeSeconds = 6
	return e
}

func bindingEvent(id ID) Event {
	e := New(id, at)
	e.Protocol, e.NAT, e.Network, e.Compartment = model.UDP, "default", "web", "default"
	e.Internal = netip.MustParseAddrPort("172.16.1.2:40000")
	e.External = netip.MustParseAddrPort("203.0.113.5:1227")
	return e
}

func otherEvent(id ID, set func(*Event)) Event {
	e := New(id, at)
	set(&e)
	return e
}

const fourAddresses = "Internal source 172.16.1.2:40000 (compartment default), internal destination 192.0.2.7:80, " +
	"external source 203.0.113.5:1227, external destination 192.0.2.7:80, lifetime 6 s, "

func TestMessage(t *testing.T) {
	t.Parallel()
	established := sessionEvent(SessionTCPStateUpdate)
	established.TCPState = model.StateEstablished
	counted := bindingEvent(BindingSessionCount)
	counted.SessionCount, counted.Configured = 2, true
	tests := []struct {
		name string
		e    Event
		want string
	}{
		{"create", sessionEvent(SessionCreate), "TCP session created. " + fourAddresses + "TCP state Closed/NA."},
		{"timer", sessionEvent(SessionTimerUpdate), "TCP session lifetime updated. " + fourAddresses + "TCP state Closed/NA."},
		{"state", established, "TCP session state updated. " + fourAddresses + "TCP state Established."},
		{"timeout", sessionEvent(SessionTimeout), "TCP session timed out. " + fourAddresses + "TCP state Closed/NA."},
		{"delete", sessionEvent(SessionDelete), "TCP session deleted. " + fourAddresses + "TCP state Closed/NA."},
		{"binding", bindingEvent(BindingCreate), "UDP binding created. Internal address 172.16.1.2:40000 (compartment default), external address 203.0.113.5:1227, session count 0, configured false."},
		{"binding end", bindingEvent(BindingDelete), "UDP binding deleted. Internal address 172.16.1.2:40000 (compartment default), external address 203.0.113.5:1227, session count 0, configured false."},
		{"count", counted, "UDP binding session count updated. Internal address 172.16.1.2:40000 (compartment default), external address 203.0.113.5:1227, session count 2, configured true."},
		{"ports", otherEvent(OutOfPorts, func(e *Event) { e.NAT, e.Protocol = "default", model.UDP }), "NAT default has no free UDP port: all ports it may use are taken."},
		{"full", otherEvent(MemoryAllocationFailure, func(e *Event) { e.Description = "the session table is full" }), "No room for a new entry: the session table is full."},
		{"overlap", otherEvent(NetworkOverlap, func(e *Event) {
			e.Network, e.Description = "web", "(172.16.1.0/24) overlaps 172.16.0.0/16 of the host (route via tun0)"
		}),
			"Network web (172.16.1.0/24) overlaps 172.16.0.0/16 of the host (route via tun0)."},
		{"renumber", otherEvent(NetworkRenumber, func(e *Event) {
			e.Network, e.Description = "web", "moved from 172.16.1.0/24 to 10.0.0.0/24, and its sessions ended"
		}),
			"Network web moved from 172.16.1.0/24 to 10.0.0.0/24, and its sessions ended."},
		{"unknown", New(7, at), "Event 7."},
		{"empty", New(BindingDelete, at), "UNKNOWN binding deleted. Internal address unknown (compartment ), external address unknown, session count 0, configured false."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, tt.e.Message()); diff != "" {
				t.Errorf("Message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReasonNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]Reason{}
	for r, text := range reasons {
		if other, dup := seen[text.name]; dup {
			t.Errorf("%#x and %#x are both %q", r, other, text.name)
		}
		seen[text.name] = r
		if text.name != strings.ToLower(text.name) || strings.ContainsAny(text.name, " _") {
			t.Errorf("%#x: %q is not kebab-case", r, text.name)
		}
		if !strings.HasSuffix(text.description, ".") {
			t.Errorf("%#x: %q is no sentence", r, text.description)
		}
		if back, ok := ParseReason(text.name); !ok || back != r {
			t.Errorf("ParseReason(%q) = %#x, %t", text.name, back, ok)
		}
	}
	for r := Reason(0); r <= 0x19; r++ {
		if _, ok := reasons[r]; !ok {
			t.Errorf("WinNAT's reason %#x has no name", r)
		}
	}
}

func TestReasonString(t *testing.T) {
	t.Parallel()
	tests := []struct {
		r    Reason
		want string
	}{{0, "none"}, {0x06, "no-static-mapping"}, {0x43, "out-of-ports"}, {0x4f, "ipv6"}, {0x3f, "reason-0x3f"}}
	for _, tt := range tests {
		if got := tt.r.String(); got != tt.want {
			t.Errorf("%#x: got %q, want %q", uint8(tt.r), got, tt.want)
		}
	}
}
