package nattest

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// recordedDrops are the drops that the recorder has, the oldest first.
func recordedDrops(t *testing.T, r *dptest.Rig) (list []datapath.Drop) {
	t.Helper()
	wire.Must(t, r.Datapath.RecordedDrops(time.Time{}, func(d datapath.Drop) { list = append(list, d) }))
	slices.SortFunc(list, func(a, b datapath.Drop) int { return a.First.Compare(b.First) })
	return list
}

func recordedEnds(t *testing.T, r *dptest.Rig) (list []datapath.Ended) {
	t.Helper()
	wire.Must(t, r.Datapath.RecordedEnds(time.Time{}, func(e datapath.Ended) { list = append(list, e) }))
	slices.SortFunc(list, func(a, b datapath.Ended) int { return a.Ended.Compare(b.Ended) })
	return list
}

// What is recorded of a drop is the packet as it came; those that are alike and
// come one after the other are one record.
func TestDropsAreRecordedAsTheyCame(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
	m := r.Config.Mappings[1]
	m.From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	r.Config.Mappings[1] = m
	r.Apply(t)
	started := time.Now()
	endpoint := func(s wire.Segment, times int) {
		for range times {
			r.FromEndpoint(t, 0, s)
		}
	}
	martian := netip.MustParseAddrPort("240.0.0.1:443")
	endpoint(wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4000), To: martian}, 3)
	r.Dropped(t, "martian-destination", 3)
	endpoint(wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4001), To: martian}, 1)
	endpoint(wire.Segment{Protocol: model.ICMP, From: wire.Inside(0, 7), To: netip.AddrPortFrom(martian.Addr(), 0)}, 1)
	r.Dropped(t, "martian-destination", 5)
	r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 5000), To: wire.Published})
	r.Dropped(t, "remote-not-allowed", 1)

	inside := datapath.Drop{
		Packets: 1, Reason: event.MartianDestination, Program: "inside_ingress", Network: wire.RigNetwork, Compartment: wire.RigCompartment,
		EtherType: wire.EtherIPv4, To: martian,
	}
	syn, datagram, echo := inside, inside, inside
	syn.Packets, syn.Protocol, syn.From, syn.TCPFlags = 3, uint8(model.TCP), wire.Inside(0, 4000), wire.Syn
	datagram.Protocol, datagram.From = uint8(model.UDP), wire.Inside(0, 4001)
	echo.Protocol, echo.From, echo.To, echo.ICMPType = uint8(model.ICMP), wire.Inside(0, 7), netip.AddrPortFrom(martian.Addr(), 0), 8
	want := []datapath.Drop{syn, datagram, echo, {
		Packets: 1, Reason: event.RemoteNotAllowed, Program: "outside_ingress", Compartment: ^uint32(0), FromOutside: true,
		EtherType: wire.EtherIPv4, Protocol: uint8(model.TCP), From: wire.Unanswered(7, 5000), To: wire.Published, TCPFlags: wire.Syn,
	}}
	got := recordedDrops(t, r)
	ignored := cmpopts.IgnoreFields(datapath.Drop{}, "First", "Last", "MAC", "Length", "Interface")
	if diff := cmp.Diff(want, got, ignored, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, d := range got {
		if d.First.Before(started.Add(-time.Second)) || d.Last.After(time.Now().Add(time.Second)) || d.Last.Before(d.First) || d.MAC == "" || d.Length < 42 || d.Interface == 0 {
			t.Errorf("%+v", d)
		}
	}
	var later []datapath.Drop
	wire.Must(t, r.Datapath.RecordedDrops(time.Now().Add(time.Minute), func(d datapath.Drop) { later = append(later, d) }))
	if len(later) > 0 {
		t.Errorf("since a time to come: %+v", later)
	}
}

// One endpoint's flood of drops writes over its own.
func TestFloodLeavesOthersRecords(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	r.Mute(t, 1)
	martian := netip.MustParseAddrPort("240.0.0.1:443")
	r.FromEndpoint(t, 1, wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4000), To: martian})
	r.Dropped(t, "martian-destination", 1)
	const flood = 10000
	for port := range uint16(flood) {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 5000+port), To: martian})
	}
	r.Dropped(t, "martian-destination", 1+flood)
	own, others, newest := 0, 0, uint16(0)
	for _, d := range recordedDrops(t, r) {
		if d.From == wire.Inside(1, 4000) {
			others++
		} else {
			own, newest = own+1, max(newest, d.From.Port())
		}
	}
	if others != 1 || own != 128 || newest != 5000+flood-1 {
		t.Errorf("%d records of the flood up to port %d, and %d of the neighbour", own, newest, others)
	}
}

// A session's end is recorded once, with its cause and what it had.
func TestEndsAreRecordedWithTheirCause(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	udp := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)}
	r.FromEndpoint(t, 0, udp, udp)
	external := r.External(t, model.UDP, wire.Inside(0, 4000))
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: external})
	r.Counted(t, model.UDP, wire.Inside(0, 4000), wire.Unanswered(7, 80), 2, 1)
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))

	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(8, 99), To: wire.Published})
	r.Counted(t, model.UDP, wire.Inside(0, 80), wire.Unanswered(8, 99), 0, 1)
	delete(r.Config.Mappings, 1)
	r.Apply(t)

	r.ShortLived(t, 1)
	syn := wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4002), To: wire.Unanswered(9, 80)}
	r.FromEndpoint(t, 0, syn)
	wire.Eventually(t, "the end of a session without an answer", func() bool { return len(recordedEnds(t, r)) == 3 })

	type end struct {
		Cause            model.EndCause
		Internal, Remote netip.AddrPort
		Out, In          uint64
		FromOutside      bool
		State            model.TCPState
	}
	want := []end{
		{model.EndByHand, wire.Inside(0, 4000), wire.Unanswered(7, 80), 2, 1, false, model.StateNone},
		{model.EndConfiguration, wire.Inside(0, 80), wire.Unanswered(8, 99), 0, 1, true, model.StateNone},
		{model.EndTimeout, wire.Inside(0, 4002), wire.Unanswered(9, 80), 1, 0, false, model.StateInternalSYN},
	}
	var got []end
	for _, e := range recordedEnds(t, r) {
		got = append(got, end{e.Cause, e.Internal, e.Remote, e.PacketsOut, e.PacketsIn, e.FromOutside, e.State})
		if lived := e.Ended.Sub(e.Created); lived < 0 || lived > time.Minute || e.NAT != wire.RigNAT || e.Network != wire.RigNetwork || !e.External.IsValid() {
			t.Errorf("%+v", e)
		}
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whoever watches gets each drop, and is told how many there was no room for; drops
// cost no other event its place.
func TestWatchersGetEachDropOrItsLoss(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	w := watchEvents(t, r)
	martian := netip.MustParseAddrPort("240.0.0.1:443")
	const flood = 20000
	for port := range uint16(flood) {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 5000+port), To: martian})
	}
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
	r.Dropped(t, "martian-destination", flood)
	w.until(t, event.SessionCreate, 1)
	wire.Eventually(t, "each drop or its loss", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		lost := uint64(0)
		for _, e := range w.events {
			if e.ID == event.EventsLost {
				lost += e.Lost
			}
		}
		return uint64(len(w.drops))+lost == flood
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, d := range w.drops {
		if d.Packets != 1 || d.Reason != event.MartianDestination || i > 0 && d.From.Port() <= w.drops[i-1].From.Port() {
			t.Fatalf("drop %d: %+v", i, d)
		}
	}
}
