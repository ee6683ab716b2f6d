package test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// seenEvents are a watcher's, as they come.
type seenEvents struct {
	mu    sync.Mutex
	list  []api.Event
	end   context.CancelFunc
	ended chan struct{}
}

// see watches until the test ends, or end is called. held keeps it from reading until it is closed.
func (h *host) see(filter api.EventFilter, held <-chan struct{}) *seenEvents {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	events, err := h.Watch(ctx, filter)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &seenEvents{end: cancel, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		if held != nil {
			<-held
		}
		for e := range events {
			s.mu.Lock()
			s.list = append(s.list, e)
			s.mu.Unlock()
		}
	}()
	return s
}

// count is how many events were told of, and how many others were lost, and where.
func (s *seenEvents) count() (told, lost uint64, where []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.list {
		if e.Lost == 0 {
			told++
			continue
		}
		lost += e.Lost
		if !slices.Contains(where, e.Description) {
			where = append(where, e.Description)
		}
	}
	return told, lost, where
}

func (s *seenEvents) has(holds func(api.Event) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.list, holds)
}

// TestEachPacketIsAnEvent: who asks for them is told of each packet how it was translated
// and where it went, or why it was left to the host; nobody else is, and afterwards the
// programs are those of before.
func TestEachPacketIsAnEvent(t *testing.T) {
	h := startHost(t)
	before := h.programs()
	s := h.see(api.EventFilter{Packets: true, Filter: api.Filter{Endpoint: "c1"}}, nil)
	conn := h.dialOut()
	defer conn.Close()
	if _, err := conn.Write([]byte("there and back")); err != nil {
		t.Fatal(err)
	}
	inside, remote := conn.LocalAddr().String(), lab.RemoteAddress+":7"
	sessions, err := h.Sessions(t.Context(), api.Filter{Endpoint: "c1"})
	if err != nil || len(sessions) != 1 {
		t.Fatalf("%+v, %v", sessions, err)
	}
	external := sessions[0].External.String()
	gateway, err := h.inside.Dial(t.Context(), "udp", "172.16.1.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close()
	if _, err := gateway.Write([]byte("for the host")); err != nil {
		t.Fatal(err)
	}
	for what, holds := range map[string]func(api.Event) bool{
		"the SYN translated": func(e api.Event) bool {
			p := e.Packet
			return e.ID == 1009 && p.Came.From == inside && p.Came.To == remote && p.Went.From == external && p.Went.To == remote &&
				p.Came.TCPFlags == 2 && e.Endpoint == "c1" && e.NAT == "default" && e.Internal.String() == inside &&
				strings.HasPrefix(e.Short, "translated: tcp "+inside+" → "+remote+" [syn] as "+external+" → ")
		},
		"the SYN forwarded": func(e api.Event) bool {
			return e.ID == 1035 && e.Packet.Went.From == external && e.Packet.Link == "hv-c1" && e.Packet.Out == "outside"
		},
		"an answer translated": func(e api.Event) bool {
			return e.ID == 1009 && e.Packet.Came.To == external && e.Packet.Went.To == inside
		},
		"an answer forwarded": func(e api.Event) bool { return e.ID == 1035 && e.Packet.Went.To == inside && e.Packet.Out == "c1" },
		"what is for the host left to it": func(e api.Event) bool {
			return e.ID == 1034 && e.Packet.Came.To == "172.16.1.1:9"
		},
		"a session's begin beside them": func(e api.Event) bool { return e.ID == 1001 },
	} {
		h.waitFor(20*time.Second, what, func() bool {
			return s.has(func(e api.Event) bool { return (e.Packet != nil || e.ID < 1009) && holds(e) })
		})
	}
	s.end()
	<-s.ended
	h.waitFor(20*time.Second, "the programs of before", func() bool { return slices.Equal(before, h.programs()) })
}

// TestPacketEventsAreSelected: by reason, by level, and by remote, which the data path looks
// for too; and beside another watcher who wants others.
func TestPacketEventsAreSelected(t *testing.T) {
	h := startHost(t)
	one := h.see(api.EventFilter{Kinds: []string{"translated"}, Filter: api.Filter{Protocol: "udp", Remote: lab.RemoteAddress + ":9001"}}, nil)
	other := h.see(api.EventFilter{Kinds: []string{"ForwardedPacket"}, Filter: api.Filter{Network: "web", Remote: ":9002"}}, nil)
	left := h.see(api.EventFilter{Kinds: []string{"skipped"}, Filter: api.Filter{Remote: "172.16.1.1:9003"}}, nil)
	link := h.see(api.EventFilter{Reason: "link-local"}, nil)
	urgent := h.see(api.EventFilter{Packets: true, Level: "warning"}, nil)
	send := func(to string) {
		conn, err := h.inside.Dial(t.Context(), "udp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("one")); err != nil {
			t.Fatal(err)
		}
	}
	send("172.16.1.1:9003")
	send(lab.RemoteAddress + ":9001")
	send(lab.RemoteAddress + ":9002")
	send("169.254.1.1:9004")
	for _, want := range []struct {
		what string
		in   *seenEvents
		id   uint16
		to   string
	}{{"translated", one, 1009, lab.RemoteAddress + ":9001"}, {"forwarded", other, 1035, lab.RemoteAddress + ":9002"}, {"left", left, 1034, "172.16.1.1:9003"}} {
		h.waitFor(20*time.Second, want.what, func() bool {
			return want.in.has(func(e api.Event) bool { return e.ID == want.id && e.Packet.Came.To == want.to })
		})
		if want.in.has(func(e api.Event) bool {
			return e.ID != want.id || want.in != left && !strings.HasSuffix(e.Packet.Came.To, want.to) && !strings.HasSuffix(e.Packet.Came.From, want.to)
		}) {
			t.Errorf("%s: others came too", want.what)
		}
	}
	h.waitFor(20*time.Second, "the drop by its reason", func() bool {
		return link.has(func(e api.Event) bool { return e.ID == 1030 && e.Drop.Reason == "link-local" })
	})
	h.waitFor(20*time.Second, "a drop", func() bool { return urgent.has(func(e api.Event) bool { return e.ID == 1030 }) })
	if urgent.has(func(e api.Event) bool { return e.Level == "verbose" || e.Level == "information" }) {
		t.Error("what is not urgent came too")
	}
}

// TestPacketEventsAreCountedExactly: of a flood, each watcher is told of every packet, or of
// how many it was not told: one who reads, and one who does not until it is over. No packet
// of the flood itself is lost.
func TestPacketEventsAreCountedExactly(t *testing.T) {
	const packets = 60_000
	h := startHost(t)
	at, err := h.Remote.ListenPacket("udp", lab.RemoteAddress+":9999")
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	filter := api.EventFilter{Kinds: []string{"translated"}, Filter: api.Filter{Protocol: "udp", Remote: lab.RemoteAddress + ":9999"}}
	held := make(chan struct{})
	reads, waits := h.see(filter, nil), h.see(filter, held)
	conn, err := h.inside.Dial(t.Context(), "udp", lab.RemoteAddress+":9999")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	took := flood(t, conn, packets)
	close(held)
	var all uint64
	for who, s := range map[string]*seenEvents{"who reads": reads, "who waits": waits} {
		h.waitFor(60*time.Second, who+" to be told of all, or how many were lost", func() bool {
			sessions, err := h.Sessions(t.Context(), api.Filter{Endpoint: "c1", Protocol: "udp"})
			if err != nil || len(sessions) != 1 {
				t.Fatalf("%+v, %v", sessions, err)
			}
			all = sessions[0].PacketsOut
			told, lost, _ := s.count()
			return told+lost == all
		})
		told, lost, where := s.count()
		t.Logf("%s: %d told, %d lost: %v", who, told, lost, where)
	}
	if all != packets {
		t.Errorf("%d of %d packets went out", all, packets)
	}
	if _, lost, where := waits.count(); lost == 0 || !slices.Contains(where, "packets, since this watcher reads too slowly") {
		t.Errorf("who does not read has lost %d: %v", lost, where)
	}
	t.Logf("%d packets in %v, %.0f a second", packets, took.Round(time.Millisecond), packets/took.Seconds())
}

func flood(t *testing.T, conn net.Conn, packets int) time.Duration {
	t.Helper()
	began := time.Now()
	for range packets {
		if _, err := conn.Write([]byte("one of many")); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began)
}
