package explain

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// TestOutcomes: what ended a session, and whether somebody had answered.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		cause       model.EndCause
		protocol    model.Protocol
		state       model.TCPState
		out, in     uint64
		fromOutside bool
		want        Outcome
	}{
		{"nobody answers a SYN", model.EndTimeout, model.TCP, model.StateInternalSYN, 5, 0, false, Unanswered},
		{"a SYN is answered by a RST", model.EndTimeout, model.TCP, model.StateInternalSYN, 1, 1, false, Refused},
		{"the endpoint does not answer a SYN", model.EndTimeout, model.TCP, model.StateExternalSYN, 0, 5, true, Unanswered},
		{"the endpoint answers a SYN by a RST", model.EndTimeout, model.TCP, model.StateExternalSYN, 1, 1, true, Refused},
		{"closed", model.EndTimeout, model.TCP, model.StateBothFIN, 9, 9, false, Closed},
		{"closed, and its port was needed", model.EndPressure, model.TCP, model.StateBothFIN, 9, 9, false, Closed},
		{"reset", model.EndTimeout, model.TCP, model.StateTimeWait, 9, 9, false, Reset},
		{"large packets without an answer", model.EndTimeout, model.TCP, model.StateEstablished, 8, 1, false, Stalled},
		{"they were given up", model.EndTimeout, model.TCP, model.StateTimeWait, 8, 2, false, Stalled},
		{"an endpoint's large packets without an answer", model.EndTimeout, model.TCP, model.StateEstablished, 8, 3, true, Stalled},
		{"they had an answer", model.EndTimeout, model.TCP, model.StateEstablished, 8, 4, true, Idle},
		{"idle", model.EndTimeout, model.TCP, model.StateEstablished, 9, 9, false, Idle},
		{"half closed and idle", model.EndTimeout, model.TCP, model.StateExternalFIN, 9, 9, true, Idle},
		{"a datagram without an answer", model.EndTimeout, model.UDP, model.StateNone, 1, 0, false, Unanswered},
		{"a datagram from outside without an answer", model.EndTimeout, model.UDP, model.StateNone, 0, 1, true, Unanswered},
		{"a question and an answer", model.EndTimeout, model.UDP, model.StateNone, 1, 1, false, Closed},
		{"a ping without an answer", model.EndTimeout, model.ICMP, model.StateNone, 3, 0, false, Unanswered},
		{"taken over by a mapping", model.EndTakenOver, model.UDP, model.StateNone, 1, 0, false, Closed},
		{"by hand", model.EndByHand, model.TCP, model.StateEstablished, 9, 9, false, ByHand},
		{"its mapping was removed", model.EndConfiguration, model.TCP, model.StateEstablished, 9, 9, true, Changed},
		{"the address went", model.EndAddressLost, model.TCP, model.StateEstablished, 9, 9, false, AddressLost},
		{"the way out went", model.EndRouteChanged, model.UDP, model.StateNone, 9, 9, false, RouteChanged},
		{"no memory", model.EndNoMemory, model.UDP, model.StateNone, 1, 0, false, NoMemory},
	} {
		s := model.EndedSession{Cause: tt.cause, FromOutside: tt.fromOutside}
		s.Protocol, s.State, s.PacketsOut, s.PacketsIn = tt.protocol, tt.state, tt.out, tt.in
		s.BytesOut = 1400 * tt.out
		if got := OutcomeOf(s); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestSmallPacketsDoNotStall: that nobody answers small ones has other causes.
func TestSmallPacketsDoNotStall(t *testing.T) {
	t.Parallel()
	s := model.EndedSession{Cause: model.EndTimeout}
	s.Protocol, s.State, s.PacketsOut, s.PacketsIn, s.BytesOut = model.TCP, model.StateEstablished, 8, 1, 8*100
	if got := OutcomeOf(s); got != Idle {
		t.Errorf("it is %s", got)
	}
}

// TestReview: what failed alike is one failure, of whoever has caused it; the latest
// comes first.
func TestReview(t *testing.T) {
	t.Parallel()
	w := world()
	w.Config.Mappings = []model.Mapping{{
		ID: 1, NAT: model.DefaultNAT, Protocol: model.TCP, External: ports("0.0.0.0", 8080), From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Targets: []model.Target{{Endpoint: "c2", Network: "web", Internal: ports("172.16.1.3", 80)}},
	}}
	start := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	addr := netip.MustParseAddrPort
	inside := func(second int, packets uint32, reason event.Reason, link, from, to string) model.Drop {
		return model.Drop{
			First: at(second), Last: at(second + 1), Packets: packets, Reason: reason.String(), Program: "inside_ingress", Link: link,
			Network: "web", Endpoint: "c1", SenderAddress: addr("172.16.1.2:1").Addr(), EtherType: 0x0800, Protocol: uint8(model.TCP), From: addr(from), To: addr(to),
		}
	}
	session := func(second int, from, to string, fromOutside bool) model.EndedSession {
		return model.EndedSession{
			Session: model.Session{
				NAT: model.DefaultNAT, Network: "web", Endpoint: "c1", Protocol: model.TCP, Internal: addr(from), Remote: addr(to),
				External: addr("203.0.113.1:999"), State: model.StateInternalSYN, PacketsOut: 5, CreatedAt: at(second - 4),
			},
			EndedAt: at(second), Cause: model.EndTimeout, FromOutside: fromOutside,
		}
	}
	closed := session(50, "172.16.1.2:4000", "198.51.100.7:443", false)
	closed.State = model.StateBothFIN
	recording := model.Recording{
		Drops: []model.Drop{
			inside(10, 3, event.IsolatedNetwork, "hv-c1", "172.16.1.2:4000", "172.16.2.2:80"),
			inside(20, 2, event.IsolatedNetwork, "hv-c1", "172.16.1.2:4001", "172.16.2.2:80"),
			// c1 in its neighbour's name.
			inside(30, 1, event.SpoofedSource, "hv-c1", "172.16.1.3:4000", "8.8.8.8:53"),
			{
				First: at(40), Last: at(40), Packets: 1, Reason: event.RemoteNotAllowed.String(), Program: "outside_ingress", Link: "eth0", FromOutside: true,
				EtherType: 0x0800, Protocol: uint8(model.TCP), From: addr("198.51.100.7:5000"), To: addr("203.0.113.1:8080"),
			},
		},
		Ended: []model.EndedSession{session(5, "172.16.1.2:5000", "198.51.100.9:443", false), session(6, "172.16.1.2:5001", "198.51.100.9:443", false), closed},
	}
	waiting := session(0, "172.16.1.2:5002", "198.51.100.9:443", false).Session
	young := waiting
	young.Internal, young.CreatedAt = addr("172.16.1.2:5003"), at(59)

	review := func(f model.Filter) History {
		selected, err := f.Parse()
		if err != nil {
			t.Fatal(err)
		}
		r := NewReview(w, start, selected, at(60))
		r.Live(waiting)
		r.Live(young)
		return r.History(recording)
	}
	type row struct {
		Outcome     Outcome
		Count       uint64
		First, Last time.Time
		Endpoint    string
		What        string
	}
	rows := func(h History) (list []row) {
		for _, f := range h.Failures {
			list = append(list, row{f.Outcome, f.Count, f.First, f.Last, f.Endpoint, f.What})
		}
		return list
	}
	want := []row{
		{Unanswered, 3, at(-4), at(60), "c1", "c1 → 198.51.100.9:443, tcp"},
		{Dropped, 1, at(40), at(40), "c2", "198.51.100.7 → 203.0.113.1:8080 (c2), tcp, at eth0"},
		{Dropped, 1, at(30), at(31), "c1", "c1 as 172.16.1.3 → 8.8.8.8:53, tcp, at hv-c1"},
		{Dropped, 5, at(10), at(21), "c1", "c1 → 172.16.2.2:80, tcp, at hv-c1"},
	}
	all := review(model.Filter{})
	if diff := cmp.Diff(want, rows(all)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, f := range all.Failures {
		if f.Meaning == "" || f.Outcome == Dropped && len(f.Remedies) == 0 {
			t.Errorf("%s: %q, %v", f.What, f.Meaning, f.Remedies)
		}
	}
	if len(all.Drops) != 4 || len(all.Ended) != 3 || !all.Drops[0].Last.Equal(at(40)) {
		t.Errorf("%d drops, %d sessions", len(all.Drops), len(all.Ended))
	}
	for _, tt := range []struct {
		filter model.Filter
		want   []int // rows of want
	}{
		{model.Filter{Endpoint: "c2"}, []int{1}},
		{model.Filter{Endpoint: "c1", Remote: "172.16.2.0/24"}, []int{3}},
		{model.Filter{Remote: "198.51.100.7"}, []int{1}},
		{model.Filter{Protocol: "udp"}, nil},
		{model.Filter{State: "internal-syn"}, []int{0}},
	} {
		var picked []row
		for _, i := range tt.want {
			picked = append(picked, want[i])
		}
		if diff := cmp.Diff(picked, rows(review(tt.filter))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.filter, diff)
		}
	}
}

func ports(address string, port uint16) model.AddrPorts {
	return model.AddrPorts{Address: netip.MustParseAddr(address), Ports: model.PortRange{Low: port, High: port}}
}
