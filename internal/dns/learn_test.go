package dns

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestAddressesIn(t *testing.T) {
	t.Parallel()
	records := func(lines ...string) []dns.RR {
		var list []dns.RR
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, rr)
		}
		return list
	}
	packed := func(code int, answer ...dns.RR) []byte {
		m := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
		m.Response, m.Rcode, m.Answer = true, code, answer
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	many := make([]dns.RR, 2*mostLearned)
	for i := range many {
		many[i] = &dns.A{Hdr: header("www.example.com.", dns.TypeA), A: []byte{192, 0, 2, byte(i)}}
	}
	for _, tt := range []struct {
		what string
		raw  []byte
		want []netip.Addr
		keep time.Duration
	}{
		{"two addresses", packed(0, records("www.example.com. 300 A 192.0.2.1", "WWW.example.com. 60 A 192.0.2.2")...), []netip.Addr{address("192.0.2.1"), address("192.0.2.2")}, time.Minute},
		{"by aliases, in any order", packed(0, records("edge.cdn.example. 20 A 192.0.2.7", "www.example.com. 300 CNAME shop.example.com.",
			"shop.example.com. 10 CNAME Edge.CDN.example.")...), []netip.Addr{address("192.0.2.7")}, 10 * time.Second},
		{"an alias without address", packed(0, records("www.example.com. 300 CNAME shop.example.com.")...), nil, 300 * time.Second},
		{"an alias of itself", packed(0, records("www.example.com. 300 CNAME a.example.", "a.example. 300 CNAME www.example.com.", "b.example. 5 A 192.0.2.1")...), nil, 300 * time.Second},
		{"somebody else's", packed(0, records("bank.example. 300 A 192.0.2.1")...), nil, 1<<32*time.Second - time.Second},
		{"no such name", packed(dns.RcodeNameError, records("www.example.com. 300 A 192.0.2.1")...), nil, 0},
		{"broken", []byte("something that is no answer"), nil, 0},
	} {
		got, keep := addressesIn(tt.raw, "www.example.com.")
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || keep != tt.keep {
			t.Errorf("%s: kept %v, want %v; (-want +got):\n%s", tt.what, keep, tt.keep, diff)
		}
	}
	if got, _ := addressesIn(packed(0, many...), "www.example.com."); len(got) != mostLearned {
		t.Errorf("of many addresses %d", len(got))
	}
}

// Who asked for what is told of questions for IPv4 addresses outside alone, and not of
// the host's own.
func TestLearn(t *testing.T) {
	t.Parallel()
	var told []Learned
	l := &listener{gateway: address("172.16.1.1"), learned: func(l Learned) { told = append(told, l) }}
	client := address("172.16.1.2")
	learn := func(client netip.Addr, qtype uint16) {
		q := parsed(t, "Example.COM.", qtype)
		m := says("192.0.2.1", 1)(new(dns.Msg).SetQuestion("Example.COM.", qtype), false)
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		l.learn(q, raw, client)
	}
	learn(client, dns.TypeA)
	learn(client, dns.TypeAAAA)
	learn(client, dns.TypeTXT)
	learn(l.gateway, dns.TypeA)
	want := []Learned{{Client: client, Name: "example.com", Addresses: []netip.Addr{address("192.0.2.1")}, Keep: ttl * time.Second}}
	if diff := cmp.Diff(want, told, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l.learned = nil
	learn(client, dns.TypeA)
}
