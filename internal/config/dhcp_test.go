package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

var leaseStart = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func lease(network, a, mac, hostname string, since time.Duration) model.Lease {
	return model.Lease{Network: network, Address: netip.MustParseAddr(a), MAC: model.MAC(mac), Hostname: hostname, State: model.LeaseBound,
		Since: leaseStart.Add(since), Expires: leaseStart.Add(time.Hour)}
}

func TestNetworkSettingsOfDHCP(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	set := func(key, value string) error {
		_, err := c.SetNetwork("web", map[string]string{key: value})
		return err
	}
	for key, value := range map[string]string{
		"dhcp": "off", "lease-time": "90s", "mtu": "9000", "ntp": "192.0.2.1,192.0.2.2", "routes": "10.9.0.0/16=172.16.1.9",
		"range": "172.16.1.10-172.16.1.19,172.16.1.30", "exclude": "172.16.1.12",
	} {
		if err := set(key, value); err != nil {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	n, _ := c.Network("web")
	if n.DHCP.On() || n.LeaseDuration() != 90 || n.LinkMTU(1500) != 9000 || len(n.NTP) != 2 || n.Routes[0].String() != "10.9.0.0/16=172.16.1.9" ||
		n.Dynamic()[0].Size() != 10 || n.Dynamic()[1].String() != "172.16.1.30" || !n.Excludes(netip.MustParseAddr("172.16.1.12")) {
		t.Errorf("set: %+v", n)
	}
	refused := map[string]string{
		"dhcp": "maybe", "lease-time": "0", "mtu": "100", "ntp": "ntp.example", "routes": "10.9.0.0/16", "range": "172.16.1.20-172.16.1.10", "exclude": "172.16.1.0",
	}
	for key, value := range refused {
		if err := set(key, value); model.CodeOf(err) != model.Invalid || !strings.HasPrefix(err.Error(), key+": ") {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	for key, value := range map[string]string{"routes": "10.9.0.1/16=172.16.1.9", "range": "172.16.1.1-172.16.1.5,172.16.1.4", "ntp": "::1", "mtu": "70000"} {
		if err := set(key, value); model.CodeOf(err) != model.Invalid {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	if after, _ := c.Network("web"); !cmp.Equal(n, after, compareNetip) {
		t.Error("a refused setting changed something")
	}
	for key, value := range map[string]string{"dhcp": "on", "mtu": "auto", "ntp": "none", "routes": "none", "range": "all", "exclude": "none"} {
		if err := set(key, value); err != nil {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	if n, _ = c.Network("web"); !n.DHCP.On() || n.LinkMTU(1400) != 1400 || n.NTP != nil || n.Routes != nil || n.Ranges != nil || n.Exclude != nil {
		t.Errorf("back to the defaults: %+v", n)
	}
}

func TestReservations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec ReservationSpec
		want string // what the refusal mentions; empty: it is granted
	}{
		{"by MAC", ReservationSpec{Network: "web", MAC: "02-00-00-00-00-09", Address: "172.16.1.9"}, ""},
		{"by name", ReservationSpec{Network: "web", Name: "db", Address: "172.16.1.9"}, ""},
		{"for an endpoint, its own", ReservationSpec{Network: "web", Name: "c1", Address: "172.16.1.2"}, ""},
		{"for nobody", ReservationSpec{Network: "web", Address: "172.16.1.9"}, "for nobody"},
		{"for two", ReservationSpec{Network: "web", MAC: "02:00:00:00:00:09", Name: "db", Address: "172.16.1.9"}, "both"},
		{"no address", ReservationSpec{Network: "web", Name: "db"}, "no address"},
		{"no network", ReservationSpec{Network: "nope", Name: "db", Address: "172.16.1.9"}, "nope"},
		{"elsewhere", ReservationSpec{Network: "web", Name: "db", Address: "10.9.9.9"}, "outside the subnet"},
		{"gateway", ReservationSpec{Network: "web", Name: "db", Address: "172.16.1.1"}, "gateway"},
		{"an endpoint's", ReservationSpec{Network: "web", Name: "db", Address: "172.16.1.2"}, `"c1"`},
		{"a client's", ReservationSpec{Network: "web", Name: "db", Address: "172.16.1.60"}, "leased to MAC 02:00:00:00:00:60"},
		{"reserved for another", ReservationSpec{Network: "web", Name: "db", Address: "172.16.1.50"}, "reserved for MAC 02:00:00:00:00:50"},
		{"has another", ReservationSpec{Network: "web", MAC: "02:00:00:00:00:50", Address: "172.16.1.51"}, "172.16.1.50"},
		{"bad MAC", ReservationSpec{Network: "web", MAC: "ff:ff:ff:ff:ff:ff", Address: "172.16.1.9"}, "multicast"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			c.SetLeases([]model.Lease{lease("web", "172.16.1.60", "02:00:00:00:00:60", "", 0)}, leaseStart)
			if _, err := c.AddReservation(ReservationSpec{Network: "web", MAC: "02:00:00:00:00:50", Address: "172.16.1.50"}, model.HostFacts{}); err != nil {
				t.Fatal(err)
			}
			r, err := c.AddReservation(tt.spec, model.HostFacts{})
			if tt.want == "" {
				again, err2 := c.AddReservation(tt.spec, model.HostFacts{})
				if err != nil || err2 != nil || !again.Equal(&r) || len(c.Reservations) != 2 {
					t.Errorf("%+v, %v; again %+v, %v", r, err, again, err2)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(c.Reservations) != 1 {
				t.Errorf("got %v, want a refusal with %q", err, tt.want)
			}
		})
	}
}

// Addresses of endpoints that were not asked for: kept ones are kept.
func TestPlacesOfEndpoints(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Endpoints = nil
	lowest := func(n model.Network, taken []model.Endpoint) (netip.Addr, error) {
		for a := n.Gateway4().Next(); n.Subnet4().Contains(a.Next()); a = a.Next() {
			if !slices.ContainsFunc(taken, func(e model.Endpoint) bool { return e.Address4() == a }) {
				return a, nil
			}
		}
		return netip.Addr{}, model.Errorf(model.Exhausted, "full")
	}
	attach := func(name, mac string) model.Endpoint {
		t.Helper()
		e, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: name, Netns: "ns-" + name, MAC: mac}, hostFacts(), lowest)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	detach := func(name string) {
		t.Helper()
		if err := c.DetachEndpoint(name); err != nil {
			t.Fatal(err)
		}
	}
	c.SetLeases([]model.Lease{lease("web", "172.16.1.2", "02:00:00:00:00:60", "", 0), lease("web", "172.16.1.70", "02:00:00:00:00:70", "", 0)}, leaseStart)
	if _, err := c.AddReservation(ReservationSpec{Network: "web", Name: "db", Address: "172.16.1.3"}, model.HostFacts{}); err != nil {
		t.Fatal(err)
	}
	a := attach("a", "")
	got := []string{a.Address4().String()}
	got = append(got, attach("db", "").Address4().String(), attach("vm", "02:00:00:00:00:70").Address4().String())
	detach("a")
	got = append(got, attach("b", "").Address4().String())
	again := attach("a", "")
	got = append(got, again.Address4().String())
	want := []string{"172.16.1.4", "172.16.1.3", "172.16.1.70", "172.16.1.5", "172.16.1.4"}
	if diff := cmp.Diff(want, got); diff != "" || again.MAC != a.MAC {
		t.Errorf("MAC %s, then %s (-want +got):\n%s", a.MAC, again.MAC, diff)
	}
	if len(c.Remembered) != 0 {
		t.Errorf("remembered though attached: %+v", c.Remembered)
	}
	// What is remembered has a bound, and goes with the network.
	for i := range 2 * maxRemembered {
		c.remember(model.Endpoint{Name: "x" + model.AddressOf(uint32(i)).String(), Network: "web", Addresses: []netip.Addr{model.AddressOf(uint32(i))}})
	}
	if len(c.Remembered) != maxRemembered {
		t.Errorf("%d are remembered", len(c.Remembered))
	}
	if err := c.DeleteNetwork("web", true); err != nil || len(c.Remembered)+len(c.Reservations)+len(c.Leases)+len(c.Discovered) != 0 {
		t.Errorf("%v, left of the network: %+v", err, c)
	}
}

func TestDiscovered(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.SetLeases([]model.Lease{
		lease("web", "172.16.1.10", "02:00:00:00:00:0a", "late", 2),
		lease("web", "172.16.1.11", "02:00:00:00:00:0b", "late", 1),
		lease("web", "172.16.1.12", "02:00:00:00:00:0c", "c1", 0), // has an endpoint's name
		lease("web", "172.16.1.13", "02:00:00:00:00:0d", "", 0),
		lease("web", "172.16.1.2", "02:00:00:00:00:0e", "own", 0), // an endpoint's address
		lease("gone", "172.16.1.14", "02:00:00:00:00:0f", "x", 0),
		{Network: "web", Address: netip.MustParseAddr("172.16.1.15"), MAC: "02:00:00:00:00:10", Hostname: "over", State: model.LeaseBound, Expires: leaseStart},
	}, leaseStart)
	got := map[string]string{}
	for _, e := range c.Discovered {
		got[e.Address4().String()] = e.Name
		if found, err := c.Endpoint(e.Name); err != nil || found.Address4() != e.Address4() || found.Kind != model.KindLease {
			t.Errorf("%s: %+v, %v", e.Name, found, err)
		}
	}
	want := map[string]string{"172.16.1.11": "late", "172.16.1.10": "late-00000a", "172.16.1.12": "c1-00000c", "172.16.1.13": "dhcp-02000000000d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.DetachEndpoint("late"); model.CodeOf(err) != model.Conflict {
		t.Errorf("detaching what was not attached: %v", err)
	}
}

// Two networks may have a client of one name, and one that an endpoint of another
// network has.
func TestNamesAreOfANetwork(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.SetLeases([]model.Lease{
		lease("web", "172.16.1.10", "02:00:00:00:00:0a", "vm", 0),
		lease("blue", "172.16.1.10", "02:00:00:00:00:0a", "vm", 1),
		lease("blue", "172.16.1.11", "02:00:00:00:00:0b", "c1", 1),
		lease("blue", "172.16.1.12", "02:00:00:00:00:0c", "only", 1),
	}, leaseStart)
	tests := []struct{ internal, network, want string }{
		{"vm:80", "", `networks "web" and "blue" have an endpoint "vm" each`},
		{"vm:80", "web", "172.16.1.10:80"},
		{"vm:80", "blue", "172.16.1.10:80"},
		{"only:80", "", "172.16.1.12:80"},
		{"only:80", "web", `endpoint "only" is in network "blue", not "web"`},
		{"c1:80", "", "172.16.1.2:80"},
		{"c1:80", "blue", "172.16.1.11:80"},
		{"nobody:80", "blue", `endpoint "nobody" does not exist`},
	}
	for i, tt := range tests {
		m, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: strconv.Itoa(9000 + i), Internal: tt.internal, Network: tt.network}, nil)
		got := m.InternalText()
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s of network %q: %s, want %s", tt.internal, tt.network, got, tt.want)
		}
	}
	if e, err := c.Endpoint("c1"); err != nil || e.Network != "web" {
		t.Errorf("c1 is the attached one: %+v, %v", e, err)
	}
	// Nobody takes a client's mapping by being attached under its name.
	if _, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "only", Netns: "only"}, model.HostFacts{}, lowest); err != nil {
		t.Fatal(err)
	}
	c.SetLeases(c.Leases, leaseStart)
	if m := c.Mappings[len(c.Mappings)-3]; m.InternalText() != "172.16.1.12:80" {
		t.Errorf("the mapping to the client leads to %s", m.InternalText())
	}
}

// Who has neither an endpoint's address nor a lease is an endpoint too while it
// is heard of.
func TestObserved(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	web := c.Networks[0]
	say := func(a, mac string) model.Neighbour {
		return model.Neighbour{Bridge: web.Bridge, Address: netip.MustParseAddr(a), MAC: model.MAC(mac)}
	}
	c.Endpoints[0].Allow = []netip.Prefix{netip.MustParsePrefix("172.16.1.200/32"), netip.MustParsePrefix("0.0.0.0/0")}
	c.SetObserved([]model.Neighbour{
		say("172.16.1.40", "02:00:00:00:00:40"),
		say("172.16.1.41", "02:00:00:00:00:40"),  // one card, two addresses
		say("172.16.1.1", "02:00:00:00:00:42"),   // the gateway's
		say("172.16.1.2", "02:00:00:00:00:43"),   // an endpoint's
		say("172.16.1.30", "02:00:00:00:00:44"),  // a client's
		say("172.16.1.200", "02:00:00:00:00:49"), // an endpoint's that may have it
		say("172.16.1.255", "02:00:00:00:00:45"),
		say("10.9.9.9", "02:00:00:00:00:46"),
		say("172.16.1.50", "02:00:00:00:00:47"),
		{Bridge: "br9", Address: netip.MustParseAddr("172.16.1.48"), MAC: "02:00:00:00:00:48"},
	})
	c.SetLeases([]model.Lease{lease("web", "172.16.1.30", "02:00:00:00:00:44", "ip-172-16-1-50", 0)}, leaseStart)
	got := map[string]model.EndpointKind{}
	for _, e := range c.Discovered {
		got[e.Name] = e.Kind
		if e.Managed() {
			t.Errorf("%s is managed", e.Name)
		}
	}
	want := map[string]model.EndpointKind{
		"ip-172-16-1-50": model.KindLease, "ip-172-16-1-40": model.KindTraffic, "ip-172-16-1-41": model.KindTraffic, "ip-172-16-1-50-020000000047": model.KindTraffic,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.DetachEndpoint("ip-172-16-1-40"); model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), "172.16.1.40") {
		t.Errorf("detaching what was not attached: %v", err)
	}

	// A mapping to it is one to its address, and stays when it is silent.
	m, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "9000", Internal: "ip-172-16-1-40:80"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	byAddress, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "9001", Internal: "172.16.1.41:80", Network: "web"}, nil)
	if err != nil || m.Endpoints() != "" || byAddress.InternalText() != "172.16.1.41:80" {
		t.Errorf("%+v and %+v, %v", m, byAddress, err)
	}
	// Nobody is put there by chance; who says so may have it.
	c.Endpoints = nil
	from40 := func(_ model.Network, taken []model.Endpoint) (netip.Addr, error) {
		a := netip.MustParseAddr("172.16.1.40")
		for slices.ContainsFunc(taken, func(e model.Endpoint) bool { return e.Address4() == a }) {
			a = a.Next()
		}
		return a, nil
	}
	if e, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "new", Netns: "new"}, model.HostFacts{}, from40); err != nil || e.Address4().String() != "172.16.1.42" {
		t.Errorf("a new endpoint is at %s, %v", e.Address4(), err)
	}
	if e, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: "self", TAP: "vm0", Address: "172.16.1.40", MAC: "02:00:00:00:00:40"}, model.HostFacts{}, from40); err != nil || e.Address4().String() != "172.16.1.40" {
		t.Errorf("attached as what it is, it is at %s, %v", e.Address4(), err)
	}
	c.SetObserved(nil)
	c.SetLeases(nil, leaseStart)
	if len(c.Discovered) != 0 || c.Mappings[len(c.Mappings)-2].InternalText() != "172.16.1.40:80" {
		t.Errorf("when nobody is heard of: %v, %v", c.Discovered, c.Mappings)
	}
}

// A flood of addresses is cut off.
func TestObservedIsBounded(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Networks[0].Subnets = []netip.Prefix{netip.MustParsePrefix("172.16.0.0/16")}
	var flood []model.Neighbour
	for i := range 2 * maxObserved {
		flood = append(flood, model.Neighbour{Bridge: c.Networks[0].Bridge, Address: netip.AddrFrom4([4]byte{172, 16, byte(9 + i>>8), byte(i)}), MAC: "02:00:00:00:00:40"})
	}
	c.SetObserved(flood)
	c.SetLeases(nil, leaseStart)
	if len(c.Discovered) != maxObserved {
		t.Errorf("%d endpoints, want %d", len(c.Discovered), maxObserved)
	}
}

// A mapping follows its client, and no other of the same name.
func TestMappingFollowsLease(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	learn := func(leases ...model.Lease) string {
		c.SetLeases(leases, leaseStart)
		effective := c.Effective()
		for _, m := range effective.Mappings {
			if m.External.Ports.Low == 9999 {
				return m.InternalText()
			}
		}
		return ""
	}
	bob := func(a string) model.Lease { return lease("web", a, "02:00:00:00:00:b0", "bob", 0) }
	learn(bob("172.16.1.30"))
	if _, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "9999", Internal: "bob:80"}, nil); err != nil {
		t.Fatal(err)
	}
	got := []string{
		learn(bob("172.16.1.30")), learn(bob("172.16.1.31")), learn(),
		learn(lease("web", "172.16.1.32", "02:00:00:00:00:66", "bob", 0)), learn(bob("172.16.1.33")),
	}
	// Its card is heard with an address of before, too: its lease counts, and after
	// that what it had by it.
	web, err := c.Network("web")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"172.16.1.30", "172.16.1.33", "172.16.1.40"} {
		c.Observed = append(c.Observed, model.Neighbour{Bridge: web.Bridge, Address: netip.MustParseAddr(a), MAC: "02:00:00:00:00:b0"})
	}
	renamed := bob("172.16.1.33")
	renamed.Hostname = "robert"
	got = append(got, learn(renamed), learn())
	if diff := cmp.Diff([]string{"172.16.1.30:80", "172.16.1.31:80", "", "", "172.16.1.33:80", "172.16.1.33:80", "172.16.1.33:80"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPools(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	if diff := cmp.Diff(model.DefaultPools(), c.SubnetPools(), compareNetip); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []PoolSpec{{Prefix: "10.0.0.1/8"}, {Prefix: "10.0.0.0/8", Size: "7"}, {Prefix: "10.0.0.0/8", Size: "31"}, {Prefix: "::/8"}} {
		if _, err := c.AddPool(bad); model.CodeOf(err) != model.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	p, err := c.AddPool(PoolSpec{Prefix: "10.64.0.0/12", Size: "26"})
	again, err2 := c.AddPool(PoolSpec{Prefix: "10.64.0.0/12", Size: "26"})
	if err != nil || err2 != nil || p != again || len(c.SubnetPools()) != 1 || p.Size != 26 {
		t.Errorf("%+v, %v, %v", p, err, err2)
	}
	if _, err := c.AddPool(PoolSpec{Prefix: "10.65.0.0/16"}); model.CodeOf(err) != model.Conflict {
		t.Errorf("overlapping pools: %v", err)
	}
	if err := c.DeletePool("10.64.0.0/12"); err != nil || len(c.SubnetPools()) != 3 {
		t.Errorf("%v, %+v", err, c.SubnetPools())
	}
	if err := c.DeletePool("10.64.0.0/12"); model.CodeOf(err) != model.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
}

// What the host has itself nobody else gets: an adopted bridge may have more
// addresses than the gateway's. A network that is Unrouted has a world of its own.
func TestHostsOwnAddresses(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	facts := hostFacts()
	facts.Addresses = append(facts.Addresses, model.HostAddress{Address: netip.MustParseAddr("172.16.1.4"), Interface: "wlan0"})
	facts.Adopted = []model.HostPrefix{
		{Prefix: netip.MustParsePrefix("172.16.1.6/24"), Source: "address of br0"}, {Prefix: netip.MustParsePrefix("172.16.1.7/32"), Source: "route via br0"},
	}
	attach := func(network, name, address string) (model.Endpoint, error) {
		return c.AddEndpoint(EndpointSpec{Network: network, Name: name, Netns: "ns-" + name, Address: address}, facts, place)
	}
	first, err1 := attach("web", "first", "")
	second, err2 := attach("web", "second", "")
	if err1 != nil || err2 != nil || first.Address4().String() != "172.16.1.5" || second.Address4().String() != "172.16.1.7" {
		t.Errorf("got %v and %v; %v, %v", first.Address4(), second.Address4(), err1, err2)
	}
	want := "address 172.16.1.6 is the host's own (on br0)"
	if _, err := attach("web", "third", "172.16.1.6"); model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), want) {
		t.Errorf("attaching: %v", err)
	}
	if _, err := c.AddReservation(ReservationSpec{Network: "web", Name: "db", Address: "172.16.1.6"}, facts); model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), want) {
		t.Errorf("reserving: %v", err)
	}
	if _, err := attach("blue", "far", "172.16.1.6"); err != nil {
		t.Errorf("in another compartment: %v", err)
	}
}
