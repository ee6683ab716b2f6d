package linktest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// hostile are fragments that come to nothing, number n of each kind.
var hostile = map[string]func(n int) wire.Segment{
	"first alone": func(n int) wire.Segment { return wire.Segment{Fragment: 0x2000, Payload: make([]byte, 64)} },
	"later alone": func(n int) wire.Segment { return wire.Segment{Fragment: 0x2000 | 100, Payload: make([]byte, 64)} },
	"last alone":  func(n int) wire.Segment { return wire.Segment{Fragment: 8000, Payload: make([]byte, 64)} },
	"tiny":        func(n int) wire.Segment { return wire.Segment{Fragment: 0x2000} },
	"too long":    func(n int) wire.Segment { return wire.Segment{Fragment: 0x1fff, Payload: make([]byte, 1400)} },
}

// RFC 4787 REQ-14a: 100,000 fragments that wait for others, from one endpoint
// and from outside, harm nobody else: whole packets of flows old and new,
// fragments in order, and once the flood is over those out of order. The tables
// keep their bounds.
func TestFloodOfFragments(t *testing.T) {
	t.Parallel()
	const flood = 100_000
	r := dptest.NewRig(t, 2)
	r.AddReassembly(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	r.Mute(t, 0)
	server, client := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000"), wire.Listen(t, r.Endpoints[1], wire.EndpointAddress(1).String()+":4000")
	remote := netip.AddrPortFrom(wire.RemoteAddress, 7000)
	client.Send(t, remote, "before")
	old := server.Expect(t, "before")

	kinds := make([]func(int) wire.Segment, 0, len(hostile))
	for _, k := range hostile {
		kinds = append(kinds, k)
	}
	asked := 0
	for n := range flood {
		s := kinds[n%len(kinds)](n)
		s.Protocol, s.ID = model.UDP, uint16(n)
		s.From, s.To = wire.Inside(0, uint16(1024+n%60000)), wire.Unanswered(byte(n>>16), 53)
		if n%2 == 0 {
			s.From, s.To = wire.Unanswered(byte(n>>16), uint16(n)), netip.AddrPortFrom(wire.HostAddress, 8080)
			r.FromRemote(t, s)
		} else {
			r.FromEndpoint(t, 0, s)
		}
		if n%1000 != 999 {
			continue
		}
		asked++
		text := fmt.Sprint("during ", n)
		client.Send(t, remote, text)
		if from := server.Expect(t, text); from != old {
			t.Fatalf("the old flow is seen as %v, was %v", from, old)
		}
		server.Send(t, old, text)
		client.Expect(t, text)
		text = string(wire.Long(fmt.Sprint("in order ", n), 3000)) // a stack's own fragments, both ways
		client.Send(t, remote, text)
		server.Expect(t, text)
		server.Send(t, old, text)
		client.Expect(t, text)
		fresh := wire.Listen(t, r.Endpoints[1], wire.EndpointAddress(1).String()+":0")
		fresh.Send(t, remote, "fresh")
		server.Expect(t, "fresh")
	}
	if asked == 0 {
		t.Error("nobody asked anything during the flood")
	}
	for name, m := range map[string]interface{ MaxEntries() uint32 }{"fragments": r.Datapath.Objects().Fragments, "passages": r.Datapath.Objects().Passages, "tokens": r.Datapath.Objects().Tokens} {
		if m.MaxEntries() > 1<<14 {
			t.Errorf("%s has room for %d", name, m.MaxEntries())
		}
	}
	at := wire.Assemble(t, r.Remote, lab.RemoteLink)
	var id uint16
	wire.Within(t, 4*wire.Patience, "datagram out of order after the flood", func() bool { // when the reassembly namespace has forgotten the flood
		id++
		d := wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4000), To: wire.Unanswered(9, 53), ID: id, Payload: wire.Long("after", 3000)}.IP()
		r.IPFromEndpoint(t, 1, wire.Pick(wire.CutUp(d, 1200), 2, 1, 0)...)
		time.Sleep(50 * time.Millisecond)
		return len(at.Came(model.UDP, "after")) > 0
	})
	r.Consistent(t)
}

// What does not fit together comes to nothing: overlapping fragments (RFC 5722
// for the reason), a first one without ports (RFC 1858), a datagram longer than
// there can be.
func TestFragmentsThatDoNotFit(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	r.Mute(t, 0)
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	piece := func(id, offset, size int, more bool) wire.Segment {
		s := wire.Segment{Protocol: 17, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: uint16(id), Fragment: uint16(offset / 8), Payload: make([]byte, size-8)}
		if more {
			s.Fragment |= 0x2000
		}
		return s
	}
	r.FromEndpoint(t, 0, piece(1, 800, 800, false), piece(1, 400, 800, true), piece(1, 0, 400, true)) // overlap
	r.FromEndpoint(t, 0, piece(2, 8, 800, false))
	tiny := wire.CutUp(wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: 3, Payload: make([]byte, 100)}.IP(), 8)
	r.IPFromEndpoint(t, 0, tiny...)
	r.FromEndpoint(t, 0, piece(4, 65528, 800, false), piece(4, 0, 800, true)) // ends behind 65535
	r.Dropped(t, "malformed", 1)
	d := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: 5, Payload: wire.Long("good", 3000)}.IP()
	r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), 2, 0, 1)...)
	remote.Await(t, model.UDP, "good")
	for _, p := range remote.Seen() {
		if p.Offset+p.Size > 3100 {
			t.Errorf("%+v came out", p)
		}
	}
}

// A fragment whose first one never comes is forgotten, and so is the note of a first one.
func TestFragmentsAreForgotten(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	r.Mute(t, 0)
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	d := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: 1, Payload: wire.Long("old", 3000)}.IP()
	r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), 2, 1)...)
	never(t, r, 3500*time.Millisecond, "a fragment", func() bool { return len(remote.Seen()) > 0 })
	// With the same identification: what was left of the old one must not get in.
	d = wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: 1, Payload: wire.Long("new", 2000)}.IP()
	r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), 1, 0)...)
	if _, w := remote.Await(t, model.UDP, "new"); w.Pieces != 2 {
		t.Errorf("came in %d pieces", w.Pieces)
	}
}

func never(t *testing.T, r *dptest.Rig, wait time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if cond() {
			t.Fatalf("%s came", what)
		}
	}
}

// Without the reassembly namespace everything else works, and what needs it is dropped and counted.
func TestFragmentsWithoutReassembly(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	for n, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {2, 1, 0}} {
		d := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: uint16(n), Payload: wire.Long(fmt.Sprint("order ", n), 3000)}.IP()
		r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), order...)...)
	}
	remote.Await(t, model.UDP, "order 0")
	remote.Await(t, model.UDP, "order 1")
	r.Dropped(t, "first-fragment-offset", 2)
	wire.Must(t, r.Host.SetMTU(lab.HostLink, wire.Narrow))
	wire.Eventually(t, "fragmentation needed", func() bool { // the route is looked up once a second
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), Payload: make([]byte, 1400)})
		return len(r.AtEndpoint[0].Came(wire.Is(model.ICMP, netip.AddrPort{}, netip.AddrPort{}))) > 0
	})
}

// A daemon that was killed finds the reassembly namespace again; one that was taken apart is made anew.
func TestReassemblyOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	r.Mute(t, 0)
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	var id uint16
	works := func(what string) {
		t.Helper()
		id++
		d := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: id, Payload: wire.Long(what, 3000)}.IP()
		r.IPFromEndpoint(t, 0, wire.Pick(wire.CutUp(d, 1200), 2, 1, 0)...)
		remote.Await(t, model.UDP, what)
	}
	works("first daemon")
	wire.Must(t, r.Datapath.Close())
	works("no daemon")
	r.Open(t)
	again := func() uint32 {
		t.Helper()
		var index int
		wire.Must(t, r.Host.Do(func() (err error) {
			index, err = host.EnsureReassembly(t.Context(), r.Datapath.HasReassembly(), r.Datapath.KeepReassembly)
			return err
		}))
		r.Config.Reassembly = uint32(index)
		r.Attach(t, r.Config.Reassembly, datapath.ReassemblyEnter, datapath.ReassemblyLeave)
		r.Apply(t)
		return r.Config.Reassembly
	}
	before := r.Config.Reassembly
	if got := again(); got != before {
		t.Errorf("the reassembly namespace was made anew: interface %d, was %d", got, before)
	}
	works("second daemon")
	wire.Must(t, r.Host.DeleteLink(host.ReassemblyLink))
	if got := again(); got == before {
		t.Errorf("interface %d is gone and was taken for that of the reassembly namespace", got)
	}
	works("link made anew")
	wire.Must(t, r.Datapath.Close()) // while it runs, it keeps the reassembly namespace itself
	wire.Must(t, os.Remove(filepath.Join(r.Dir, "links", "reassembly")))
	// One thread of the kernel ends all namespaces of the machine, one batch after the other.
	wire.Within(t, time.Minute, "the end of what nothing keeps", func() bool {
		_, err := r.Host.Link(host.ReassemblyLink)
		return err != nil
	})
	r.Open(t)
	if r.Datapath.HasReassembly() {
		t.Error("there is a reassembly namespace without what keeps it")
	}
	again()
	works("reassembly namespace made anew")
}

// One sender cannot take the reassembly namespace from the others: not an endpoint, not those outside.
func TestReassemblyIsShared(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 3)
	r.AddReassembly(t)
	r.Mute(t, 0)
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	hog := wire.Segment{Protocol: model.UDP, Fragment: 0x2000 | 100, Payload: make([]byte, 1400)}
	for n := range 10_000 { // 24 MB
		hog.ID, hog.From, hog.To = uint16(n), wire.Inside(0, 0), wire.Unanswered(7, 0)
		r.FromEndpoint(t, 0, hog)
		hog.From, hog.To = wire.Unanswered(byte(n), 0), netip.AddrPortFrom(wire.HostAddress, 0)
		r.FromRemote(t, hog)
	}
	for i := 1; i < 3; i++ {
		text := fmt.Sprint("neighbour ", i)
		d := wire.Segment{Protocol: model.UDP, From: wire.Inside(i, 4000), To: wire.Unanswered(8, 53), ID: 5, Payload: wire.Long(text, 3000)}.IP()
		r.IPFromEndpoint(t, i, wire.Pick(wire.CutUp(d, 1200), 2, 1, 0)...)
		remote.Await(t, model.UDP, text)
	}
	if r.Drops(t)["fragment-unsupported"] == 0 {
		t.Error("nothing of the flood was refused")
	}
	// What has left the reassembly namespace does not count: so an endpoint may go on for ever.
	for n := range 1000 {
		d := wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4000), To: wire.Unanswered(9, 53), ID: uint16(n), Payload: wire.Long(fmt.Sprintf("much %d ", n), 8000)}.IP()
		r.IPFromEndpoint(t, 1, wire.Pick(wire.CutUp(d, 1200), 6, 5, 4, 3, 2, 1, 0)...)
	}
	remote.Await(t, model.UDP, "much 999 ")
	if n := len(remote.Came(model.UDP, "much ")); n != 1000 {
		t.Errorf("%d of 1000 datagrams came", n)
	}
}

// The host's own datagrams arrive even if it is forgotten between two fragments
// that they are the host's, as in a flood.
func TestHostLosesNothingWhenHintsAreForgotten(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	service := wire.Listen(t, r.Host, lab.HostAddress+":9000")
	to := netip.AddrPortFrom(wire.HostAddress, 9000)
	for n, from := range []netip.AddrPort{netip.AddrPortFrom(wire.RemoteAddress, 99), wire.Inside(0, 99)} {
		send := func(pieces ...[]byte) {
			if n == 0 {
				r.IPFromRemote(t, pieces...)
			} else {
				r.IPFromEndpoint(t, 0, pieces...)
			}
		}
		text := wire.Long(from.String(), 3000)
		pieces := wire.CutUp(wire.Segment{Protocol: model.UDP, From: from, To: to, ID: 1, Payload: text}.IP(), 1200)
		send(pieces[0])
		hints := r.Datapath.Objects().ForeignFragments
		wire.Eventually(t, "hint", func() bool { return dptest.Size(t, hints) > 0 })
		wire.Must(t, kernel.Each(hints, func(k *kernel.FragmentKey, _ *uint64) error { return hints.Delete(k) }))
		send(pieces[1], pieces[2])
		service.Expect(t, string(text))
	}
}
