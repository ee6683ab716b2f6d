package dns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// neighbours has two networks that are open to each other, one that is not, and
// one that is open but of another compartment.
func neighbours(t *testing.T) map[string]*Zone {
	t.Helper()
	network := func(name, subnet, gateway, compartment string, isolation model.Isolation) model.Network {
		return model.Network{Name: name, Subnets: []netip.Prefix{prefix(subnet)}, Gateways: []netip.Addr{address(gateway)}, Compartment: compartment, Isolation: isolation}
	}
	vms := network("vms", "10.0.1.0/24", "10.0.1.1", "default", model.NotIsolated)
	containers := network("containers", "10.0.2.0/24", "10.0.2.1", "default", model.NotIsolated)
	containers.Domain = "shared.example"
	containers.DNS = model.Off // its names are known all the same
	same := network("same", "10.0.3.0/24", "10.0.3.1", "default", model.NotIsolated)
	same.Domain, same.NAT = "shared.example", model.NoNAT
	return Zones(config.Config{
		Networks: []model.Network{
			vms, containers, same,
			network("alone", "10.0.4.0/24", "10.0.4.1", "default", model.IsolatedNetwork),
			network("blue", "10.0.5.0/24", "10.0.5.1", "blue", model.NotIsolated),
		},
		Endpoints: []model.Endpoint{
			{Name: "vm1", Network: "vms", Addresses: []netip.Addr{address("10.0.1.2")}},
			{Name: "db", Network: "containers", Addresses: []netip.Addr{address("10.0.2.2")}, Aliases: []string{"sql"}},
			{Name: "s1", Network: "same", Addresses: []netip.Addr{address("10.0.3.2")}, Aliases: []string{"sql"}},
			{Name: "a1", Network: "alone", Addresses: []netip.Addr{address("10.0.4.2")}},
			{Name: "b1", Network: "blue", Addresses: []netip.Addr{address("10.0.5.2")}},
		},
	})
}

// asked is text of what a zone answers; "not known" if others have to be asked.
func asked(t *testing.T, z *Zone, name string, qtype uint16) string {
	t.Helper()
	q, _, ok := parse(wire(t, name, qtype))
	if !ok {
		t.Fatalf("%s is no query", name)
	}
	if m := z.answer(&q); m != nil {
		return text(m)
	}
	return "not known"
}

// Names are known where the endpoints are reached, and nowhere else.
func TestNamesOfOpenNetworks(t *testing.T) {
	t.Parallel()
	zones := neighbours(t)
	for _, tt := range []struct{ network, name, want string }{
		{"vms", "vm1.", "NOERROR A 10.0.1.2"},
		{"vms", "db.containers.internal.", "NOERROR A 10.0.2.2"},
		{"vms", "db.shared.example.", "NOERROR A 10.0.2.2"},
		{"vms", "sql.shared.example.", "NOERROR A 10.0.2.2"},  // of two networks, the first one's
		{"same", "sql.shared.example.", "NOERROR A 10.0.3.2"}, // its own goes first
		{"vms", "db.", "not known"},                           // a bare name is of a network's own endpoints
		{"vms", "2.2.0.10.in-addr.arpa.", "NOERROR PTR db.shared.example."},
		{"vms", "1.2.0.10.in-addr.arpa.", "NOERROR PTR host.internal."},
		{"vms", "host.internal.", "NOERROR A 10.0.1.1"},
		{"vms", "nobody.shared.example.", "NXDOMAIN SOA shared.example."},
		{"vms", "a1.alone.internal.", "NXDOMAIN SOA internal."},
		{"vms", "b1.blue.internal.", "NXDOMAIN SOA internal."},
		{"vms", "2.4.0.10.in-addr.arpa.", "NXDOMAIN SOA 10.in-addr.arpa."},
		{"alone", "vm1.vms.internal.", "NXDOMAIN SOA internal."},
		{"blue", "vm1.vms.internal.", "NXDOMAIN SOA internal."},
	} {
		qtype := dns.TypeA
		if strings.HasSuffix(tt.name, reverseIPv4) {
			qtype = dns.TypePTR
		}
		if got := asked(t, zones[tt.network], tt.name, qtype); got != tt.want {
			t.Errorf("%s in %s: %s, want %s", tt.name, tt.network, got, tt.want)
		}
	}
	if zones["containers"] != nil {
		t.Error("a network without DNS has a zone")
	}
}

// The host is in no network: it knows the names of all, wherever it asks.
func TestNamesForTheHost(t *testing.T) {
	t.Parallel()
	for network, z := range neighbours(t) {
		for name, want := range map[string]string{
			"vm1.vms.internal.":    "NOERROR A 10.0.1.2",
			"a1.alone.internal.":   "NOERROR A 10.0.4.2",
			"b1.blue.internal.":    "NOERROR A 10.0.5.2",
			"db.shared.example.":   "NOERROR A 10.0.2.2",
			"nobody.vms.internal.": "NXDOMAIN SOA vms.internal.",
		} {
			if got := asked(t, z.host, name, dns.TypeA); got != want {
				t.Errorf("%s of the host in %s: %s, want %s", name, network, got, want)
			}
		}
	}
}

// A network without NAT has no way out, and names are none either.
func TestNetworkWithoutNATAsksNobody(t *testing.T) {
	t.Parallel()
	zones := neighbours(t)
	if got := asked(t, zones["same"], "example.org.", dns.TypeA); got != "SERVFAIL" {
		t.Errorf("example.org: %s", got)
	}
	if got := asked(t, zones["same"], "s1.", dns.TypeA); got != "NOERROR A 10.0.3.2" {
		t.Errorf("its own: %s", got)
	}
	if got := asked(t, zones["vms"], "example.org.", dns.TypeA); got != "not known" {
		t.Errorf("behind a NAT: %s", got)
	}
}
