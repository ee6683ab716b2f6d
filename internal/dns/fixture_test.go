package dns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func address(s string) netip.Addr  { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// example has two networks with the same subnet, and a third with an odd one.
func example() config.Config {
	return config.Config{
		Networks: []model.Network{
			{Name: "web", Subnets: []netip.Prefix{prefix("172.16.1.0/24")}, Gateways: []netip.Addr{address("172.16.1.1")}, Bridge: "hn-web", Domain: "lab.example"},
			{Name: "db.eu", Subnets: []netip.Prefix{prefix("172.16.1.0/24")}, Gateways: []netip.Addr{address("172.16.1.1")}, Bridge: "hn-db"},
			{Name: "odd", Subnets: []netip.Prefix{prefix("10.1.2.64/26")}, Gateways: []netip.Addr{address("10.1.2.65")}, Bridge: "hn-odd"},
			{Name: "mute", Subnets: []netip.Prefix{prefix("10.9.0.0/24")}, Gateways: []netip.Addr{address("10.9.0.1")}, Bridge: "hn-mute", DNS: model.Off},
		},
		Endpoints: []model.Endpoint{
			{Name: "C1", Network: "web", Addresses: []netip.Addr{address("172.16.1.2")}, Aliases: []string{"www", "www.shop"}},
			{Name: "c2", Network: "web", Addresses: []netip.Addr{address("172.16.1.3")}, Aliases: []string{"www"}},
			{Name: "a..b", Network: "web", Addresses: []netip.Addr{address("172.16.1.4")}},
			{Name: "db1", Network: "db.eu", Addresses: []netip.Addr{address("172.16.1.2")}},
			{Name: "o1", Network: "odd", Addresses: []netip.Addr{address("10.1.2.70")}},
		},
		Discovered: []model.Endpoint{
			{Name: "vm7", Network: "web", Addresses: []netip.Addr{address("172.16.1.50")}, Kind: model.KindLease},
			{Name: "www", Network: "web", Addresses: []netip.Addr{address("172.16.1.51")}, Kind: model.KindLease},
			{Name: "wpad", Network: "web", Addresses: []netip.Addr{address("172.16.1.52")}, Kind: model.KindLease},
		},
	}
}

func zoneOf(t testing.TB, network string) *Zone {
	t.Helper()
	z := Zones(example())[network]
	if z == nil {
		t.Fatalf("network %s has no zone", network)
	}
	return z
}

// wire encodes a query.
func wire(t testing.TB, name string, qtype uint16, change ...func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.Id = 0x1234
	for _, c := range change {
		c(m)
	}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// text says what an answer is: "NOERROR A 172.16.1.2", or with the owner of the
// SOA in the authority section, "NXDOMAIN SOA web.internal.".
func text(m *dns.Msg) string {
	words := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range append(m.Answer, m.Ns...) {
		switch r := rr.(type) {
		case *dns.A:
			words = append(words, "A", r.A.String())
		case *dns.AAAA:
			words = append(words, "AAAA", r.AAAA.String())
		case *dns.PTR:
			words = append(words, "PTR", r.Ptr)
		case *dns.SOA:
			words = append(words, "SOA", r.Hdr.Name)
		case *dns.NS:
			words = append(words, "NS", r.Ns)
		case *dns.HINFO:
			words = append(words, "HINFO", r.Cpu)
		}
	}
	return strings.Join(words, " ")
}
