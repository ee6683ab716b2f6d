package dns

import (
	"bytes"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestParse(t *testing.T) {
	t.Parallel()
	good := wire(t, "c1.web.internal.", dns.TypeA)
	edns := wire(t, "c1.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1400, true) })
	with := func(raw []byte, at int, values ...byte) []byte {
		raw = slices.Clone(raw)
		copy(raw[at:], values)
		return raw
	}
	label := func(length int) []byte { return append([]byte{byte(length)}, bytes.Repeat([]byte("x"), length)...) }
	question := func(name ...byte) []byte {
		return append(append(slices.Clone(good[:headerSize]), name...), 0, 1, 0, 1)
	}
	tests := []struct {
		name string
		raw  []byte
		code int // -2: fine
	}{
		{"query", good, -2},
		{"with EDNS", edns, -2},
		{"of the root", question(0), -2},
		{"a label of 63 bytes", question(append(label(63), 0)...), -2},
		{"nothing", nil, -1},
		{"half a header", good[:11], -1},
		{"an answer", with(good, 2, 0x81), -1},
		{"an answer with an unknown opcode", with(good, 2, 0xf9), -1},
		{"IQUERY", with(good, 2, 0x09), dns.RcodeNotImplemented},
		{"STATUS", with(good, 2, 0x11), dns.RcodeNotImplemented},
		{"NOTIFY", with(good, 2, 0x21), dns.RcodeNotImplemented},
		{"UPDATE", with(good, 2, 0x29), dns.RcodeNotImplemented},
		{"a header alone", with(good, 5, 0)[:headerSize], dns.RcodeFormatError},
		{"no question", with(good, 5, 0), dns.RcodeFormatError},
		{"two questions", append(with(good, 5, 2), good[headerSize:]...), dns.RcodeFormatError},
		{"65535 questions", with(good, 4, 0xff, 0xff), dns.RcodeFormatError},
		{"an answer section", with(good, 7, 1), dns.RcodeFormatError},
		{"an authority section", with(good, 9, 1), dns.RcodeFormatError},
		{"three additional records", with(edns, 11, 3), dns.RcodeFormatError},
		{"one record less than it says", with(good, 11, 1), dns.RcodeFormatError},
		{"one byte more", append(slices.Clone(good), 0), dns.RcodeFormatError},
		{"one byte less", good[:len(good)-1], dns.RcodeFormatError},
		{"name without an end", good[:headerSize+4], dns.RcodeFormatError},
		{"name that points to itself", question(0xc0, headerSize), dns.RcodeFormatError},
		{"name that points to the header", question(0xc0, 0), dns.RcodeFormatError},
		{"name that points behind the message", question(0xff, 0xff), dns.RcodeFormatError},
		{"label of a reserved kind", question(0x41, 'x', 0), dns.RcodeFormatError},
		{"label of 64 bytes", question(append(label(64), 0)...), dns.RcodeFormatError},
		{"name of 257 bytes", question(append(bytes.Repeat(label(63), 4), 0)...), dns.RcodeFormatError},
		{"two EDNS records", append(with(edns, 11, 2), edns[len(edns)-11:]...), dns.RcodeFormatError},
		{"EDNS of a name", append(with(good, 11, 1), append([]byte{0xc0, headerSize}, edns[len(edns)-10:]...)...), dns.RcodeFormatError},
		{"EDNS with a length that is wrong", with(edns, len(edns)-1, 9), dns.RcodeFormatError},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, code, ok := parse(test.raw)
			if ok != (test.code == -2) || !ok && code != test.code {
				t.Errorf("got %v %d, want %d", ok, code, test.code)
			}
		})
	}
}

func TestOutgoing(t *testing.T) {
	t.Parallel()
	for size, want := range map[uint16]uint16{512: 512, 1232: 1232, 1233: 1232, 65535: 1232} {
		raw := wire(t, "example.com.", dns.TypeA, func(m *dns.Msg) {
			m.SetEdns0(size, true)
			m.IsEdns0().Option = []dns.EDNS0{
				&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}},
				&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("kept")},
			}
		})
		q, _, ok := parse(raw)
		if !ok {
			t.Fatal("no query")
		}
		sent, id := outgoing(&q)
		var got dns.Msg
		if err := got.Unpack(sent); err != nil {
			t.Fatal(err)
		}
		o := got.IsEdns0()
		if got.Id != id || o.UDPSize() != want || !o.Do() || len(o.Option) != 2 {
			t.Errorf("size %d: %v", size, &got)
		}
		// Nothing else is changed, and nothing of the client's own copy.
		setID(sent, 0x1234)
		copy(sent[q.sizeAt:], raw[q.sizeAt:q.sizeAt+2])
		if !bytes.Equal(sent, raw) || !bytes.Equal(raw, q.raw) {
			t.Error("more than id and size is changed")
		}
	}
	ids := map[uint16]bool{}
	q, _, _ := parse(wire(t, "example.com.", dns.TypeA))
	for range 100 {
		_, id := outgoing(&q)
		ids[id] = true
	}
	if len(ids) < 90 {
		t.Errorf("100 queries have %d ids", len(ids))
	}
}

// FuzzQuery: whatever arrives is answered with a message that can be read and
// that is about it, or not at all. What goes on to the resolvers is unchanged.
func FuzzQuery(f *testing.F) {
	for _, name := range []string{"c1.", "example.com.", "2.1.16.172.in-addr.arpa.", "localhost.", "a.b.internal."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeANY, dns.TypeAXFR} {
			f.Add(wire(f, name, qtype))
			f.Add(wire(f, name, qtype, func(m *dns.Msg) { m.SetEdns0(1232, true) }))
		}
	}
	zone := zoneOf(f, "web")
	l := &listener{}
	l.zone.Store(zone)
	f.Fuzz(func(t *testing.T, raw []byte) {
		kept := bytes.Clone(raw)
		q, m := l.answer(raw, address("172.16.1.2"))
		if !bytes.Equal(kept, raw) {
			t.Fatal("the query was changed")
		}
		if m == nil {
			if q.raw != nil {
				checkForwarded(t, q)
			}
			return
		}
		for _, size := range []int{min(largeSize, q.size()), maxMessage} {
			out := pack(m, size)
			var back dns.Msg
			if len(out) == 0 || len(out) > size || back.Unpack(out) != nil {
				t.Fatalf("answer of %d bytes to %x cannot be read", len(out), raw)
			}
			if !back.Response || !bytes.Equal(out[:2], raw[:2]) {
				t.Fatalf("%v is no answer to %x", &back, raw)
			}
		}
	})
}

func checkForwarded(t *testing.T, q query) {
	sent, id := outgoing(&q)
	if len(sent) != len(q.raw) || !bytes.Equal(sent[2:q.end], q.raw[2:q.end]) {
		t.Fatalf("%x goes on as %x", q.raw, sent)
	}
	sent[2] |= bitResponse
	if !answers(sent, &q, id) {
		t.Fatalf("the answer to %x is not known as such", q.raw)
	}
	if out := shorten(append(sent, make([]byte, 2*largeSize)...), &q); len(out) > q.size() {
		t.Fatalf("%d bytes", len(out))
	}
}

// FuzzReply: what a resolver sends is passed on only if it is about the query.
func FuzzReply(f *testing.F) {
	asked := wire(f, "Example.com.", dns.TypeA)
	q, _, _ := parse(asked)
	reply := new(dns.Msg)
	if err := reply.Unpack(asked); err != nil {
		f.Fatal(err)
	}
	reply.Response = true
	raw, err := reply.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:headerSize])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !answers(raw, &q, 0x1234) {
			return
		}
		var m dns.Msg
		if m.Unpack(raw) == nil && len(m.Question) > 0 && !bytes.EqualFold([]byte(m.Question[0].Name), []byte("example.com.")) {
			t.Fatalf("%v answers for example.com", &m)
		}
		if out := shorten(raw, &q); len(out) > plainSize {
			t.Fatalf("%d bytes by UDP", len(out))
		}
	})
}
