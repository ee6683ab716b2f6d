package datapath

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// hostile are fragments that come to nothing, number n of each kind.
var hostile = map[string]func(n int) segment{
	"first alone": func(n int) segment { return segment{fragment: 0x2000, payload: make([]byte, 64)} },
	"later alone": func(n int) segment { return segment{fragment: 0x2000 | 100, payload: make([]byte, 64)} },
	"last alone":  func(n int) segment { return segment{fragment: 8000, payload: make([]byte, 64)} },
	"tiny":        func(n int) segment { return segment{fragment: 0x2000} },
	"too long":    func(n int) segment { return segment{fragment: 0x1fff, payload: make([]byte, 1400)} },
}

// RFC 4787 REQ-14a: 100,000 fragments that wait for others, from one endpoint
// and from outside, harm nobody else: whole packets of flows old and new,
// fragments in order, and once the flood is over those out of order. The tables
// keep their bounds.
func TestFloodOfFragments(t *testing.T) {
	t.Parallel()
	const flood = 100_000
	r := newRig(t, 2)
	r.addRoom(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	r.mute(t, 0)
	server, client := listen(t, r.Remote, lab.RemoteAddress+":7000"), listen(t, r.Endpoints[1], endpointAddress(1).String()+":4000")
	remote := netip.AddrPortFrom(remoteAddress, 7000)
	client.send(t, remote, "before")
	old := server.expect(t, "before")

	kinds := make([]func(int) segment, 0, len(hostile))
	for _, k := range hostile {
		kinds = append(kinds, k)
	}
	asked := 0
	for n := range flood {
		s := kinds[n%len(kinds)](n)
		s.protocol, s.id = model.UDP, uint16(n)
		s.from, s.to = inside(0, uint16(1024+n%60000)), stranger(byte(n>>16), 53)
		if n%2 == 0 {
			s.from, s.to = stranger(byte(n>>16), uint16(n)), netip.AddrPortFrom(hostAddress, 8080)
			r.fromRemote(t, s)
		} else {
			r.fromEndpoint(t, 0, s)
		}
		if n%1000 != 999 {
			continue
		}
		asked++
		text := fmt.Sprint("during ", n)
		client.send(t, remote, text)
		if from := server.expect(t, text); from != old {
			t.Fatalf("the old flow is seen as %v, was %v", from, old)
		}
		server.send(t, old, text)
		client.expect(t, text)
		text = string(long(fmt.Sprint("in order ", n), 3000)) // a stack's own fragments, both ways
		client.send(t, remote, text)
		server.expect(t, text)
		server.send(t, old, text)
		client.expect(t, text)
		fresh := listen(t, r.Endpoints[1], endpointAddress(1).String()+":0")
		fresh.send(t, remote, "fresh")
		server.expect(t, "fresh")
	}
	if asked == 0 {
		t.Error("nobody asked anything during the flood")
	}
	for name, m := range map[string]interface{ MaxEntries() uint32 }{"fragments": r.dp.objects.Fragments, "passages": r.dp.objects.Passages, "tokens": r.dp.objects.Tokens} {
		if m.MaxEntries() > 1<<14 {
			t.Errorf("%s has room for %d", name, m.MaxEntries())
		}
	}
	at := assemble(t, r.Remote, lab.RemoteLink)
	var id uint16
	within(t, 4*patience, "datagram out of order after the flood", func() bool { // when the room has forgotten the flood
		id++
		d := segment{protocol: model.UDP, from: inside(1, 4000), to: stranger(9, 53), id: id, payload: long("after", 3000)}.ip()
		r.ipFromEndpoint(t, 1, pick(cutUp(d, 1200), 2, 1, 0)...)
		time.Sleep(50 * time.Millisecond)
		return len(at.came(model.UDP, "after")) > 0
	})
	r.consistent(t)
}

// What does not fit together comes to nothing: overlapping fragments (RFC 5722
// for the reason), a first one without ports (RFC 1858), a datagram longer than
// there can be.
func TestFragmentsThatDoNotFit(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	r.mute(t, 0)
	remote := assemble(t, r.Remote, lab.RemoteLink)
	piece := func(id, offset, size int, more bool) segment {
		s := segment{protocol: 17, from: inside(0, 4000), to: stranger(7, 53), id: uint16(id), fragment: uint16(offset / 8), payload: make([]byte, size-8)}
		if more {
			s.fragment |= 0x2000
		}
		return s
	}
	r.fromEndpoint(t, 0, piece(1, 800, 800, false), piece(1, 400, 800, true), piece(1, 0, 400, true)) // overlap
	r.fromEndpoint(t, 0, piece(2, 8, 800, false))
	tiny := cutUp(segment{protocol: model.TCP, flags: syn, from: inside(0, 4000), to: stranger(7, 53), id: 3, payload: make([]byte, 100)}.ip(), 8)
	r.ipFromEndpoint(t, 0, tiny...)
	r.fromEndpoint(t, 0, piece(4, 65528, 800, false), piece(4, 0, 800, true)) // ends behind 65535
	r.dropped(t, "malformed", 1)
	d := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 53), id: 5, payload: long("good", 3000)}.ip()
	r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), 2, 0, 1)...)
	remote.await(t, model.UDP, "good")
	for _, p := range remote.seen() {
		if p.offset+p.size > 3100 {
			t.Errorf("%+v came out", p)
		}
	}
}

// A fragment whose first one never comes is forgotten, and so is the note of a first one.
func TestFragmentsAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	r.mute(t, 0)
	remote := assemble(t, r.Remote, lab.RemoteLink)
	d := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 53), id: 1, payload: long("old", 3000)}.ip()
	r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), 2, 1)...)
	r.never(t, 3500*time.Millisecond, "a fragment", func() bool { return len(remote.seen()) > 0 })
	// With the same identification: what was left of the old one must not get in.
	d = segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 53), id: 1, payload: long("new", 2000)}.ip()
	r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), 1, 0)...)
	if _, w := remote.await(t, model.UDP, "new"); w.pieces != 2 {
		t.Errorf("came in %d pieces", w.pieces)
	}
}

func (r *rig) never(t *testing.T, wait time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if cond() {
			t.Fatalf("%s came", what)
		}
	}
}

// Without the room everything else works, and what needs it is dropped and counted.
func TestFragmentsWithoutRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	remote := assemble(t, r.Remote, lab.RemoteLink)
	for n, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {2, 1, 0}} {
		d := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 53), id: uint16(n), payload: long(fmt.Sprint("order ", n), 3000)}.ip()
		r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), order...)...)
	}
	remote.await(t, model.UDP, "order 0")
	remote.await(t, model.UDP, "order 1")
	r.dropped(t, "first-fragment-offset", 2)
	must(t, r.Host.SetMTU(lab.HostLink, narrow))
	eventually(t, "fragmentation needed", func() bool { // the route is looked up once a second
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 53), payload: make([]byte, 1400)})
		return len(r.atEndpoint[0].came(is(model.ICMP, netip.AddrPort{}, netip.AddrPort{}))) > 0
	})
}

// A daemon that was killed finds the room again; one that was taken apart is made anew.
func TestRoomOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	r.mute(t, 0)
	remote := assemble(t, r.Remote, lab.RemoteLink)
	var id uint16
	works := func(what string) {
		t.Helper()
		id++
		d := segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 53), id: id, payload: long(what, 3000)}.ip()
		r.ipFromEndpoint(t, 0, pick(cutUp(d, 1200), 2, 1, 0)...)
		remote.await(t, model.UDP, what)
	}
	works("first daemon")
	must(t, r.dp.Close())
	works("no daemon")
	r.open(t)
	again := func() uint32 {
		t.Helper()
		var index int
		must(t, r.Host.Do(func() (err error) {
			index, err = host.EnsureRoom(t.Context(), r.dp.HasRoom(), r.dp.KeepRoom)
			return err
		}))
		r.config.Room = uint32(index)
		r.attach(t, r.config.Room, ReassemblyEnter, ReassemblyLeave)
		r.apply(t)
		return r.config.Room
	}
	before := r.config.Room
	if got := again(); got != before {
		t.Errorf("the room was made anew: interface %d, was %d", got, before)
	}
	works("second daemon")
	must(t, r.Host.DeleteLink(host.RoomName))
	if got := again(); got == before {
		t.Errorf("interface %d is gone and was taken for the room's", got)
	}
	works("link made anew")
	must(t, r.dp.letRoomGo())
	eventually(t, "the end of what nothing keeps", func() bool {
		_, err := r.Host.Link(host.RoomName)
		return err != nil
	})
	if r.dp.HasRoom() {
		t.Error("there is a room without what keeps it")
	}
	again()
	works("room made anew")
}

// One sender cannot take the room from the others: not an endpoint, not those outside.
func TestRoomIsShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.addRoom(t)
	r.mute(t, 0)
	remote := assemble(t, r.Remote, lab.RemoteLink)
	hog := segment{protocol: model.UDP, fragment: 0x2000 | 100, payload: make([]byte, 1400)}
	for n := range 10_000 { // 24 MB
		hog.id, hog.from, hog.to = uint16(n), inside(0, 0), stranger(7, 0)
		r.fromEndpoint(t, 0, hog)
		hog.from, hog.to = stranger(byte(n), 0), netip.AddrPortFrom(hostAddress, 0)
		r.fromRemote(t, hog)
	}
	for i := 1; i < 3; i++ {
		text := fmt.Sprint("neighbour ", i)
		d := segment{protocol: model.UDP, from: inside(i, 4000), to: stranger(8, 53), id: 5, payload: long(text, 3000)}.ip()
		r.ipFromEndpoint(t, i, pick(cutUp(d, 1200), 2, 1, 0)...)
		remote.await(t, model.UDP, text)
	}
	if r.drops(t)["fragment-unsupported"] == 0 {
		t.Error("nothing of the flood was refused")
	}
	// What has left the room does not count: so an endpoint may go on for ever.
	for n := range 1000 {
		d := segment{protocol: model.UDP, from: inside(1, 4000), to: stranger(9, 53), id: uint16(n), payload: long(fmt.Sprintf("much %d ", n), 8000)}.ip()
		r.ipFromEndpoint(t, 1, pick(cutUp(d, 1200), 6, 5, 4, 3, 2, 1, 0)...)
	}
	remote.await(t, model.UDP, "much 999 ")
	if n := len(remote.came(model.UDP, "much ")); n != 1000 {
		t.Errorf("%d of 1000 datagrams came", n)
	}
}

// The host's own datagrams arrive even if it is forgotten between two fragments
// that they are the host's, as in a flood.
func TestHostLosesNothingWhenHintsAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	service := listen(t, r.Host, lab.HostAddress+":9000")
	to := netip.AddrPortFrom(hostAddress, 9000)
	for n, from := range []netip.AddrPort{netip.AddrPortFrom(remoteAddress, 99), inside(0, 99)} {
		send := func(pieces ...[]byte) {
			if n == 0 {
				r.ipFromRemote(t, pieces...)
			} else {
				r.ipFromEndpoint(t, 0, pieces...)
			}
		}
		text := long(from.String(), 3000)
		pieces := cutUp(segment{protocol: model.UDP, from: from, to: to, id: 1, payload: text}.ip(), 1200)
		send(pieces[0])
		hints := func() int {
			all, err := contentsOf[bpfFragmentKey, uint64](r.dp.objects.ForeignFragments)
			must(t, err)
			return len(all)
		}
		eventually(t, "hint", func() bool { return hints() > 0 })
		must(t, clearMap[bpfFragmentKey, uint64](r.dp.objects.ForeignFragments))
		send(pieces[1], pieces[2])
		service.expect(t, string(text))
	}
}
