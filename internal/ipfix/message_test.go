package ipfix

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/ipfix/ipfixtest"
)

// at is 1795262400 seconds (6b0187c0) and 1795262400250 milliseconds (1a1fdfa46fa).
var at = time.Date(2026, 11, 21, 12, 0, 0, 250_000_000, time.UTC)

func session(e Event) Record {
	return Record{
		Time: at, Event: e, Instance: 1, Protocol: 6, Realm: "default",
		Internal: netip.MustParseAddrPort("172.16.1.2:40000"), External: netip.MustParseAddrPort("203.0.113.5:1227"),
	}
}

func withRemote(r Record) Record {
	r.Remote = netip.MustParseAddrPort("192.0.2.7:80")
	return r
}

// TestRecords: each kind as RFC 7011 section 3 lays it out, written out by hand.
func TestRecords(t *testing.T) {
	t.Parallel()
	const (
		header = "000a 0000 6b0187c0 00000007 00000001" // version 10, length, export time, sequence number, domain
		when   = "0000 01a1 fdfa 46fa"
		realm  = "07 64656661756c74"
	)
	tests := []struct {
		name   string
		record Record
		want   string // behind the header
	}{
		{"session", session(SessionCreate), "0100 0026" + when + "00000001 04 06 ac100102 9c40 cb007105 04cb" + realm},
		{"session's end", session(SessionDelete), "0100 0026" + when + "00000001 05 06 ac100102 9c40 cb007105 04cb" + realm},
		{"binding", session(BindingCreate), "0100 0026" + when + "00000001 08 06 ac100102 9c40 cb007105 04cb" + realm},
		{"binding's end", session(BindingDelete), "0100 0026" + when + "00000001 09 06 ac100102 9c40 cb007105 04cb" + realm},
		{"session with its remote", withRemote(session(SessionCreate)),
			"0101 0032" + when + "00000001 04 06 ac100102 9c40 cb007105 04cb c0000207 0050 c0000207 0050" + realm},
		{"ports", Record{Time: at, Event: PortsExhausted, Instance: 2, Protocol: 17}, "0102 0016" + when + "00000002 0c 00000000 11"},
		{"sessions", Record{Time: at, Event: QuotaExceeded, Instance: 2, Quota: MaxSessions, Limit: 1_000_000},
			"0103 0019" + when + "00000002 0d 00000001 000f4240"},
		{"an endpoint's sessions", Record{Time: at, Event: QuotaExceeded, Instance: 2, Quota: MaxPerUser, Limit: 100, Realm: "a/b",
			Internal: netip.MustParseAddrPort("172.16.1.2:9")}, "0104 0021" + when + "00000002 0d 00000003 00000064 ac100102 03 612f62"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var m Message
			if !m.Add(&tt.record) || m.Records() != 1 {
				t.Fatal("it does not fit")
			}
			want := unhex(t, header+tt.want)
			want[3] = byte(len(want))
			if diff := cmp.Diff(hex.Dump(want), hex.Dump(m.Finish(at, 7, 1))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTemplates: written out by hand from IANA's numbers of elements.
func TestTemplates(t *testing.T) {
	t.Parallel()
	var m Message
	m.AddTemplates()
	m.AddLosses(Losses{Process: 1, Records: 5, First: at, Last: at.Add(time.Millisecond)})
	const common = "0143 0008  01cf 0004  00e6 0001  0004 0001  0008 0004  0007 0002  00e1 0004  00e3 0002"
	want := unhex(t, "000a 00fe 6b0187c0 00000000 00000001"+
		"0002 00b4"+
		"0100 0009"+common+"01d0 ffff"+
		"0101 000d"+common+"000c 0004  000b 0002  00e2 0004  00e4 0002  01d0 ffff"+
		"0102 0005  0143 0008  01cf 0004  00e6 0001  00e1 0004  0004 0001"+
		"0103 0005  0143 0008  01cf 0004  00e6 0001  01d2 0004  01d7 0004"+
		"0104 0007  0143 0008  01cf 0004  00e6 0001  01d2 0004  01d9 0004  0008 0004  01d0 ffff"+
		"0003 001a  0105 0004 0001  0090 0004  00a7 0008  0143 0008  0143 0008"+
		"0105 0020  00000001 0000000000000005 000001a1fdfa46fa 000001a1fdfa46fb")
	if diff := cmp.Diff(hex.Dump(want), hex.Dump(m.Finish(at, 0, 1))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFullMessage: a message takes records until it is as long as it may be, of several kinds
// in sets of their own, and has no part of the one that did not fit.
func TestFullMessage(t *testing.T) {
	t.Parallel()
	var c ipfixtest.Collector
	var m Message
	m.AddTemplates()
	if _, err := c.Read(m.Finish(at, 0, 1)); err != nil {
		t.Fatal(err)
	}
	kinds := []Record{session(BindingCreate), withRemote(session(SessionCreate)), session(SessionCreate), {Time: at, Event: PortsExhausted}}
	added := uint32(0)
	for m.Add(&kinds[added%4]) {
		added++
	}
	read, err := c.Read(m.Finish(at, 40, 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Records) != int(added) || added < 20 || c.Next != 40+added {
		t.Errorf("%d records, %d added; the next is %d", len(read.Records), added, c.Next)
	}
	if !m.Add(&kinds[0]) || m.Records() != 1 {
		t.Error("a finished message leaves something behind")
	}
}

// FuzzRecord: whatever is in a record, a collector reads what was put in.
func FuzzRecord(f *testing.F) {
	f.Add(uint8(4), uint8(6), uint32(1), []byte{172, 16, 1, 2}, uint16(40000), uint16(80), "default", uint32(3), uint32(7))
	f.Add(uint8(13), uint8(0), uint32(0), []byte{}, uint16(0), uint16(0), strings.Repeat("é", 300), uint32(1), uint32(1))
	f.Fuzz(func(t *testing.T, e, protocol uint8, instance uint32, address []byte, port, other uint16, realm string, quota, limit uint32) {
		a, _ := netip.AddrFromSlice(address)
		r := Record{Time: at, Event: Event(e), Instance: instance, Protocol: protocol, Realm: realm, Quota: Quota(quota), Limit: limit,
			Internal: netip.AddrPortFrom(a, port), External: netip.AddrPortFrom(a, other), Remote: netip.AddrPortFrom(a, other)}
		var c ipfixtest.Collector
		var m Message
		m.AddTemplates()
		if !m.Add(&r) {
			t.Fatal("a record does not fit behind the templates")
		}
		read, err := c.Read(m.Finish(at, 0, 1))
		if err != nil || len(read.Records) != 1 {
			t.Fatalf("%+v, %v", read, err)
		}
		got := read.Records[0]
		if got.Number(230) != uint64(e) || got.Number(463) != uint64(instance) || got.Number(323) != uint64(at.UnixMilli()) {
			t.Errorf("%v of %+v", got, r)
		}
		if text := string(got.Values[464]); got.Has(464) && text != realm[:min(len(realm), maxText)] {
			t.Errorf("realm %q of %q", text, realm)
		}
		if got.Has(227) && (got.Number(227) != uint64(other) || got.Number(7) != uint64(port)) {
			t.Errorf("ports %v of %+v", got, r)
		}
	})
}
