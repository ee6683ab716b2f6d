package dns

import (
	"testing"

	"github.com/miekg/dns"
)

const forwarded = "forwarded"

// ask has a zone answer a query that went over the wire.
func ask(t *testing.T, z *Zone, name string, qtype uint16, change ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q, _, ok := parse(wire(t, name, qtype, change...))
	if !ok {
		t.Fatalf("%s is no query", name)
	}
	m := z.answer(&q)
	if m == nil {
		return nil
	}
	var back dns.Msg
	if err := back.Unpack(pack(m, maxMessage)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if back.Id != 0x1234 || !back.Response || len(back.Question) != 1 || back.Question[0].Name != name {
		t.Errorf("%s: header and question of the answer: %v", name, &back)
	}
	return &back
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		network string
		name    string
		qtype   uint16
		want    string
	}{
		{"web", "c1.", dns.TypeA, "NOERROR A 172.16.1.2"},
		{"web", "C1.", dns.TypeA, "NOERROR A 172.16.1.2"},
		{"web", "c1.", dns.TypeAAAA, "NOERROR SOA c1."},
		{"web", "c1.web.internal.", dns.TypeA, "NOERROR A 172.16.1.2"},
		{"web", "c1.Lab.Example.", dns.TypeA, "NOERROR A 172.16.1.2"},
		{"web", "c1.web.internal.", dns.TypeMX, "NOERROR SOA web.internal."},
		{"web", "www.shop.web.internal.", dns.TypeA, "NOERROR A 172.16.1.2"},
		{"web", "shop.web.internal.", dns.TypeA, "NOERROR SOA web.internal."},
		{"web", "x.shop.web.internal.", dns.TypeA, "NXDOMAIN SOA web.internal."},
		{"web", "c9.web.internal.", dns.TypeA, "NXDOMAIN SOA web.internal."},
		{"web", "c9.lab.example.", dns.TypeA, "NXDOMAIN SOA lab.example."},
		{"web", "a..b.", dns.TypeA, ""},
		// The domain itself, and those above it.
		{"web", "web.internal.", dns.TypeA, "NOERROR SOA web.internal."},
		{"web", "web.internal.", dns.TypeSOA, "NOERROR SOA web.internal."},
		{"web", "lab.example.", dns.TypeNS, "NOERROR NS host.internal."},
		{"web", "internal.", dns.TypeA, "NOERROR SOA internal."},
		{"db.eu", "eu.internal.", dns.TypeA, "NOERROR SOA internal."},
		{"web", "example.", dns.TypeA, forwarded},
		// The host.
		{"web", "host.internal.", dns.TypeA, "NOERROR A 172.16.1.1"},
		{"odd", "host.internal.", dns.TypeA, "NOERROR A 10.1.2.65"},
		{"web", "1.1.16.172.in-addr.arpa.", dns.TypePTR, "NOERROR PTR host.internal."},
		// Other networks are not there, whatever they have.
		{"web", "db1.", dns.TypeA, forwarded},
		{"web", "db1.db.eu.internal.", dns.TypeA, "NXDOMAIN SOA internal."},
		{"db.eu", "c1.web.internal.", dns.TypeA, "NXDOMAIN SOA internal."},
		{"db.eu", "c1.lab.example.", dns.TypeA, forwarded},
		{"db.eu", "db1.db.eu.internal.", dns.TypeA, "NOERROR A 172.16.1.2"},
		{"web", "70.2.1.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 10.in-addr.arpa."},
		// Addresses.
		{"web", "2.1.16.172.in-addr.arpa.", dns.TypePTR, "NOERROR PTR c1.lab.example."},
		{"db.eu", "2.1.16.172.in-addr.arpa.", dns.TypePTR, "NOERROR PTR db1.db.eu.internal."},
		{"web", "9.1.16.172.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 1.16.172.in-addr.arpa."},
		{"web", "2.1.16.172.in-addr.arpa.", dns.TypeA, "NOERROR SOA 1.16.172.in-addr.arpa."},
		{"web", "16.172.in-addr.arpa.", dns.TypePTR, "NOERROR SOA 1.16.172.in-addr.arpa."},
		{"web", "2.16.172.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 16.172.in-addr.arpa."},
		{"odd", "70.2.1.10.in-addr.arpa.", dns.TypePTR, "NOERROR PTR o1.odd.internal."},
		{"odd", "1.2.1.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 10.in-addr.arpa."},
		{"odd", "1.10.in-addr.arpa.", dns.TypeNS, "NOERROR SOA 2.1.10.in-addr.arpa."},
		{"web", "8.8.8.8.in-addr.arpa.", dns.TypePTR, forwarded},
		{"web", "02.1.16.172.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 16.172.in-addr.arpa."},
		// Clients that named themselves.
		{"web", "vm7.", dns.TypeA, "NOERROR A 172.16.1.50"},
		{"web", "vm7.web.internal.", dns.TypeA, "NOERROR A 172.16.1.50"},
		{"web", "50.1.16.172.in-addr.arpa.", dns.TypePTR, "NOERROR PTR vm7.lab.example."},
		{"web", "51.1.16.172.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 1.16.172.in-addr.arpa."},
		{"web", "wpad.", dns.TypeA, forwarded},
		{"web", "wpad.web.internal.", dns.TypeA, "NXDOMAIN SOA web.internal."},
		// Special names.
		{"web", "internal.", dns.TypeSOA, "NOERROR SOA internal."},
		{"web", "foo.internal.", dns.TypeA, "NXDOMAIN SOA internal."},
		{"web", "localhost.", dns.TypeA, "NOERROR A 127.0.0.1"},
		{"web", "x.localhost.", dns.TypeAAAA, "NOERROR AAAA ::1"},
		{"web", "localhost.", dns.TypeMX, "NOERROR SOA localhost."},
		{"web", "1.0.0.127.in-addr.arpa.", dns.TypePTR, "NOERROR PTR localhost."},
		{"web", reverseIPv6(1), dns.TypePTR, "NOERROR PTR localhost."},
		{"web", "2.0.0.127.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 127.in-addr.arpa."},
		{"web", "printer.local.", dns.TypeA, "NXDOMAIN SOA local."},
		{"web", "a.invalid.", dns.TypeA, "NXDOMAIN SOA invalid."},
		{"web", "a.test.", dns.TypeA, "NXDOMAIN SOA test."},
		{"web", "a.onion.", dns.TypeA, "NXDOMAIN SOA onion."},
		{"web", "nas.home.arpa.", dns.TypeA, "NXDOMAIN SOA home.arpa."},
		{"web", "home.arpa.", dns.TypeDS, forwarded},
		{"web", "_dns.resolver.arpa.", dns.TypeSVCB, "NXDOMAIN SOA resolver.arpa."},
		{"web", "9.0.0.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 10.in-addr.arpa."},
		{"web", "1.2.31.172.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 31.172.in-addr.arpa."},
		{"web", "1.2.32.172.in-addr.arpa.", dns.TypePTR, forwarded},
		{"web", "1.1.64.100.in-addr.arpa.", dns.TypePTR, "NXDOMAIN SOA 64.100.in-addr.arpa."},
		{"web", "1.1.128.100.in-addr.arpa.", dns.TypePTR, forwarded},
		{"web", "1.0.d.f.ip6.arpa.", dns.TypePTR, "NXDOMAIN SOA d.f.ip6.arpa."},
		{"web", "ipv4only.arpa.", dns.TypeAAAA, forwarded},
		// Types.
		{"web", "c1.", dns.TypeANY, "NOERROR HINFO RFC8482"},
		{"web", "example.com.", dns.TypeANY, "NOERROR HINFO RFC8482"},
		{"web", "c9.web.internal.", dns.TypeANY, "NXDOMAIN SOA web.internal."},
		{"web", "c1.", dns.TypeAXFR, "REFUSED"},
		{"web", "example.com.", dns.TypeIXFR, "REFUSED"},
		{"web", "example.com.", dns.TypeMAILB, "NOTIMP"},
		{"web", "example.com.", dns.TypeOPT, "NOTIMP"},
		{"web", "example.com.", dns.TypeHTTPS, forwarded},
		{"web", "example.com.", 65280, forwarded},
		{"web", "example.com.", dns.TypeA, forwarded},
		{"web", ".", dns.TypeNS, forwarded},
	}
	for _, test := range tests {
		t.Run(test.network+" "+test.name+" "+dns.TypeToString[test.qtype], func(t *testing.T) {
			t.Parallel()
			if test.want == "" {
				if fqdn(test.name) != "" {
					t.Errorf("%s is a name", test.name)
				}
				return
			}
			got := forwarded
			if m := ask(t, zoneOf(t, test.network), test.name, test.qtype); m != nil {
				got = text(m)
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if Zones(example())["mute"] != nil {
		t.Error("a network without DNS has a zone")
	}
}

// Of several addresses each comes first, now and then.
func TestSharedAlias(t *testing.T) {
	t.Parallel()
	first := map[string]bool{}
	for id := range uint16(4) {
		m := ask2(t, id)
		if len(m.Answer) != 2 {
			t.Fatalf("got %v", m)
		}
		first[m.Answer[0].(*dns.A).A.String()] = true
	}
	if len(first) != 2 {
		t.Errorf("first come %v", first)
	}
}

func ask2(t *testing.T, id uint16) *dns.Msg {
	t.Helper()
	q, _, _ := parse(wire(t, "www.web.internal.", dns.TypeA, func(m *dns.Msg) { m.Id = id }))
	return zoneOf(t, "web").answer(&q)
}

func TestAnswerToEDNS(t *testing.T) {
	t.Parallel()
	z := zoneOf(t, "web")
	plain := ask(t, z, "c1.", dns.TypeA)
	if plain.IsEdns0() != nil || !plain.Authoritative || !plain.RecursionAvailable || !plain.RecursionDesired {
		t.Errorf("without EDNS: %v", plain)
	}
	with := ask(t, z, "c1.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(4096, true) })
	if o := with.IsEdns0(); o == nil || !o.Do() || o.UDPSize() != largeSize {
		t.Errorf("with EDNS: %v", with)
	}
	newer := ask(t, z, "c1.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(4096, false).IsEdns0().SetVersion(1) })
	if newer.Rcode != dns.RcodeBadVers || newer.IsEdns0().Version() != 0 || len(newer.Answer) != 0 {
		t.Errorf("with EDNS of version 1: %v", newer)
	}
	for _, class := range []uint16{dns.ClassCHAOS, dns.ClassANY, dns.ClassNONE} {
		m := ask(t, z, "version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = class })
		if m.Rcode != dns.RcodeRefused {
			t.Errorf("class %d: %v", class, m)
		}
	}
}

// What does not fit by UDP is left out, and the client comes by TCP.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	z := zoneOf(t, "web")
	for a := address("172.16.1.100"); a != address("172.16.1.201"); a = a.Next() {
		z.own.filled().add("many.web.internal.", a)
	}
	q, _, _ := parse(wire(t, "many.web.internal.", dns.TypeA))
	raw := pack(z.answer(&q), q.size())
	if len(raw) > plainSize || !truncated(raw) {
		t.Errorf("%d bytes, truncated %v", len(raw), truncated(raw))
	}
	var whole dns.Msg
	if err := whole.Unpack(pack(z.answer(&q), maxMessage)); err != nil || whole.Truncated || len(whole.Answer) != 101 {
		t.Errorf("by TCP: %d answers, %v", len(whole.Answer), err)
	}
}
