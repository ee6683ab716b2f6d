package dhcp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// webConfig has network web, 172.16.1.0/24, with endpoint c1 and reservations.
func webConfig() config.Config {
	c := config.NewConfig()
	c.Networks = []model.Network{{
		Name: "web", Bridge: "hn-web", Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}, Gateways: []netip.Addr{addr("172.16.1.1")},
		Ranges:  []model.AddressRange{{Low: addr("172.16.1.10"), High: addr("172.16.1.19")}},
		Exclude: []model.AddressRange{{Low: addr("172.16.1.19"), High: addr("172.16.1.19")}},
		NTP:     []netip.Addr{addr("172.16.1.1")}, Compartment: model.DefaultCompartment,
		Routes: []model.Route{{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Via: addr("172.16.1.9")}},
	}}
	c.Endpoints = []model.Endpoint{{Name: "c1", Network: "web", Addresses: []netip.Addr{addr("172.16.1.11")}, MAC: "02:00:00:00:00:11"}}
	c.Reservations = []model.Reservation{
		{Network: "web", MAC: "02:00:00:00:00:50", Address: addr("172.16.1.50")},
		{Network: "web", Name: "printer", Address: addr("172.16.1.12")},
	}
	return c
}

func webScope() *Scope { return scopeOf(webConfig(), model.HostFacts{MTU: 1400}) }

// scopeOf is what the server of the only network serves.
func scopeOf(c config.Config, host model.HostFacts) *Scope {
	return NewScope(c.Networks[0], c.Endpoints, c.Reservations, host)
}

// newTable returns a table with leases that were stored.
func newTable(stored ...model.Lease) *Table {
	t, _ := NewTable(stored)
	return t
}

// client is a DHCP client for tests: it makes messages.
type client struct {
	mac   net.HardwareAddr
	extra []dhcpv4.Modifier
}

func card(last byte, extra ...dhcpv4.Modifier) client {
	return client{net.HardwareAddr{2, 0, 0, 0, 0, last}, extra}
}

func (c client) message(kind dhcpv4.MessageType, with ...dhcpv4.Modifier) []byte {
	m, err := dhcpv4.New(append(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(c.mac), dhcpv4.WithMessageType(kind)}, c.extra...), with...)...)
	if err != nil {
		panic(err)
	}
	return m.ToBytes()
}

func wants(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}
func server(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(a)))
}
func has(a string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(a)) }
func named(name string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptHostName(name))
}
func identified(id ...byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptClientIdentifier(id))
}

// said is an outcome in short.
type said struct {
	Kind    string
	Address string // that the client gets
	To      string
}

func short(o Outcome) said {
	if o.Reply == nil {
		return said{}
	}
	s := said{Kind: o.Reply.MessageType().String(), To: o.To.String()}
	if a := address(o.Reply.YourIPAddr); a.IsValid() {
		s.Address = a.String()
	}
	return s
}

// take makes a client take an address, by DISCOVER and REQUEST.
func take(t *testing.T, s *Scope, table *Table, c client, now time.Time) string {
	t.Helper()
	offer := short(Answer(s, table, c.message(dhcpv4.MessageTypeDiscover), Sender{Port: 1}, now))
	if offer.Kind != "OFFER" {
		t.Fatalf("DISCOVER: %+v", offer)
	}
	ack := short(Answer(s, table, c.message(dhcpv4.MessageTypeRequest, wants(offer.Address), server("172.16.1.1")), Sender{Port: 1}, now))
	if ack.Kind != "ACK" || ack.Address != offer.Address {
		t.Fatalf("REQUEST of %s: %+v", offer.Address, ack)
	}
	return ack.Address
}

func TestWhoGetsWhat(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		client client
		with   []dhcpv4.Modifier
		want   said
	}{
		{"an endpoint: its own", card(0x11), nil, said{"OFFER", "172.16.1.11", "172.16.1.11"}},
		{"an endpoint that wants another", card(0x11), []dhcpv4.Modifier{wants("172.16.1.15")}, said{"OFFER", "172.16.1.11", "172.16.1.11"}},
		{"by the broadcast flag, to all", card(0x11), []dhcpv4.Modifier{dhcpv4.WithBroadcast(true)}, said{"OFFER", "172.16.1.11", "255.255.255.255"}},
		{"reserved by MAC", card(0x50), nil, said{"OFFER", "172.16.1.50", "172.16.1.50"}},
		{"reserved by name", card(0x60, named("Printer.lab.example")), nil, said{"OFFER", "172.16.1.12", "172.16.1.12"}},
		{"what it wants", card(0x70), []dhcpv4.Modifier{wants("172.16.1.17")}, said{"OFFER", "172.16.1.17", "172.16.1.17"}},
		{"relayed", card(0x70), []dhcpv4.Modifier{dhcpv4.WithRelay(net.IP{172, 16, 1, 9})}, said{}},
		{"with a relay's option", card(0x70), []dhcpv4.Modifier{dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 1, 1})}, said{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := short(Answer(webScope(), newTable(), tt.client.message(dhcpv4.MessageTypeDiscover, tt.with...), Sender{Port: 1}, start))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, taken := range []string{"172.16.1.1", "172.16.1.11", "172.16.1.12", "172.16.1.19", "172.16.1.50", "172.16.1.99", "172.16.2.1", "255.255.255.255"} {
		got := short(Answer(webScope(), newTable(), card(0x70).message(dhcpv4.MessageTypeDiscover, wants(taken)), Sender{Port: 1}, start))
		if got.Kind != "OFFER" || got.Address == taken || !webScope().forAnybody(addr(got.Address)) {
			t.Errorf("who wants %s is answered %+v", taken, got)
		}
	}
}

// What the host has itself no client gets, whoever asks for it, has it reserved
// or had it before.
func TestHostsOwnAddress(t *testing.T) {
	t.Parallel()
	c := webConfig()
	table := newTable()
	if got := take(t, scopeOf(c, model.HostFacts{}), table, card(0x70, wants("172.16.1.15")), start); got != "172.16.1.15" {
		t.Fatalf("the client has %s", got)
	}
	host := model.HostFacts{Addresses: []model.HostAddress{{Address: addr("172.16.1.15"), Interface: "br0"}, {Address: addr("172.16.1.50"), Interface: "br0"}}}
	s := scopeOf(c, host)
	if got := short(Answer(s, table, card(0x70).message(dhcpv4.MessageTypeRequest, has("172.16.1.15")), Sender{Port: 1}, start)); got.Kind != "NAK" {
		t.Errorf("who renews it is answered %+v", got)
	}
	for _, who := range []client{card(0x70), card(0x71, wants("172.16.1.15")), card(0x50)} {
		got := short(Answer(s, table, who.message(dhcpv4.MessageTypeDiscover), Sender{Port: 1}, start))
		if got.Kind != "OFFER" || got.Address == "172.16.1.15" || got.Address == "172.16.1.50" {
			t.Errorf("%s is answered %+v", who.mac, got)
		}
	}
	c.Networks[0].Compartment = "blue"
	if got := take(t, scopeOf(c, host), newTable(), card(0x72, wants("172.16.1.15")), start); got != "172.16.1.15" {
		t.Errorf("in a compartment of its own: %s", got)
	}
}

// Each row is one message of client 0x70, which has 172.16.1.15 bound unless
// fresh; client 0x71 has 172.16.1.16.
func TestRequests(t *testing.T) {
	t.Parallel()
	request := func(with ...dhcpv4.Modifier) []byte {
		return card(0x70).message(dhcpv4.MessageTypeRequest, with...)
	}
	fresh := func(with ...dhcpv4.Modifier) []byte {
		return card(0x72).message(dhcpv4.MessageTypeRequest, with...)
	}
	ack := said{"ACK", "172.16.1.15", "172.16.1.15"}
	nak := said{"NAK", "", "255.255.255.255"}
	tests := []struct {
		name    string
		message []byte
		want    said
	}{
		{"selecting", request(wants("172.16.1.15"), server("172.16.1.1")), ack},
		{"selecting another server", request(wants("172.16.1.15"), server("172.16.1.2")), said{}},
		{"init-reboot", request(wants("172.16.1.15")), ack},
		{"init-reboot with another's", request(wants("172.16.1.16")), nak},
		{"init-reboot with another free one", request(wants("172.16.1.17")), nak},
		{"init-reboot, nobody knows it", fresh(wants("172.16.1.17")), said{"ACK", "172.16.1.17", "172.16.1.17"}},
		{"init-reboot from another network", fresh(wants("10.0.0.7")), nak},
		{"init-reboot with an endpoint's", fresh(wants("172.16.1.11")), nak},
		{"init-reboot with the gateway's", fresh(wants("172.16.1.1")), nak},
		{"renewing", request(has("172.16.1.15")), ack},
		{"rebinding", request(has("172.16.1.15"), dhcpv4.WithBroadcast(true)), ack},
		{"renewing after a crash that nothing survived", fresh(has("172.16.1.18")), said{"ACK", "172.16.1.18", "172.16.1.18"}},
		{"renewing another's", fresh(has("172.16.1.16")), nak},
		{"renewing from the old subnet", request(has("10.7.0.15")), nak},
		{"endpoint with a wrong address", card(0x11).message(dhcpv4.MessageTypeRequest, wants("172.16.1.15")), nak},
		{"endpoint, selecting", card(0x11).message(dhcpv4.MessageTypeRequest, wants("172.16.1.11"), server("172.16.1.1")), said{"ACK", "172.16.1.11", "172.16.1.11"}},
		{"nothing asked for", request(), said{}},
		{"inform", card(0x77).message(dhcpv4.MessageTypeInform, has("172.16.1.77")), said{"ACK", "", "172.16.1.77"}},
		{"inform from elsewhere", card(0x77).message(dhcpv4.MessageTypeInform, has("10.1.1.1")), said{}},
		{"a server's message", card(0x70).message(dhcpv4.MessageTypeOffer), said{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := webScope()
			table := newTable(
				model.Lease{Network: "web", Address: addr("172.16.1.15"), MAC: "02:00:00:00:00:70", State: model.LeaseBound, Since: start, Expires: start.Add(time.Hour)},
				model.Lease{Network: "web", Address: addr("172.16.1.16"), MAC: "02:00:00:00:00:71", State: model.LeaseBound, Since: start, Expires: start.Add(time.Hour)},
			)
			got := Answer(s, table, tt.message, Sender{Port: 1}, start.Add(time.Minute))
			if diff := cmp.Diff(tt.want, short(got)); diff != "" {
				t.Errorf("(-want +got):\n%s%s", diff, got.Why)
			}
			if short(got).Kind == "ACK" && short(got).Address != "" && len(got.Changed) != 1 {
				t.Errorf("an ACK stores %+v", got.Changed)
			}
		})
	}
}

// A client is told the network's MTU, unless its port takes less.
func TestMTUOfAPort(t *testing.T) {
	t.Parallel()
	for port, want := range map[int]string{0: "\x05\x78", 1300: "\x05\x14", 1400: "\x05\x78", 9000: "\x05\x78"} {
		m := Answer(webScope(), newTable(), card(0x70).message(dhcpv4.MessageTypeDiscover), Sender{Port: 1, MTU: port}, start).Reply
		if got := string(m.Options.Get(dhcpv4.OptionInterfaceMTU)); got != want {
			t.Errorf("behind a port of %d bytes: option 26 is %x, want %x", port, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	all := Answer(webScope(), newTable(), card(0x11).message(dhcpv4.MessageTypeDiscover), Sender{Port: 1}, start).Reply
	got := map[string]string{
		"mask": net.IP(all.SubnetMask()).String(), "router": all.Router()[0].String(), "dns": all.DNS()[0].String(),
		"domain": all.DomainName(), "search": all.DomainSearch().Labels[0], "hostname": all.HostName(),
		"mtu": string(all.Options.Get(dhcpv4.OptionInterfaceMTU)), "ntp": all.NTPServers()[0].String(),
		"server": all.ServerIdentifier().String(), "lease": all.IPAddressLeaseTime(0).String(),
		"renew": all.IPAddressRenewalTime(0).String(), "rebind": all.IPAddressRebindingTime(0).String(),
		"routes": all.ClasslessStaticRoute()[0].String() + " " + all.ClasslessStaticRoute()[1].String(),
	}
	want := map[string]string{
		"mask": "255.255.255.0", "router": "172.16.1.1", "dns": "172.16.1.1", "domain": "web.internal", "search": "web.internal",
		"hostname": "c1", "mtu": "\x05\x78", "ntp": "172.16.1.1", "server": "172.16.1.1", "lease": "1h0m0s", "renew": "30m0s", "rebind": "52m30s",
		"routes": "route to 0.0.0.0/0 via 172.16.1.1 route to 10.9.0.0/16 via 172.16.1.9",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	few := Answer(webScope(), newTable(), card(0x11, identified(0, 1, 2)).message(dhcpv4.MessageTypeDiscover,
		dhcpv4.WithRequestedOptions(dhcpv4.OptionRouter)), Sender{Port: 1}, start).Reply
	var codes []int
	for code := range 256 {
		if few.Options.Has(dhcpv4.GenericOptionCode(code)) {
			codes = append(codes, code)
		}
	}
	if diff := cmp.Diff([]int{1, 3, 51, 53, 54, 58, 59, 61}, codes); diff != "" {
		t.Errorf("options of one who asks for the router alone (-want +got):\n%s", diff)
	}
	c := webConfig()
	c.Networks[0].DNS, c.Networks[0].MTU = model.Off, 9000
	other := Answer(scopeOf(c, model.HostFacts{MTU: 1400}), newTable(), card(0x11).message(dhcpv4.MessageTypeDiscover), Sender{Port: 1}, start).Reply
	if len(other.DNS()) != 0 || string(other.Options.Get(dhcpv4.OptionInterfaceMTU)) != "\x23\x28" {
		t.Errorf("without DNS and with MTU 9000: %v", other)
	}
}

// Where the network may move, clients ask again soon and keep the address long.
func TestTimesOfANetworkThatMoves(t *testing.T) {
	t.Parallel()
	tests := []struct {
		overlap model.Overlap
		lease   model.Seconds
		want    [3]time.Duration // lease, T1, T2
	}{
		{model.Keep, 3600, [3]time.Duration{time.Hour, 30 * time.Minute, 52*time.Minute + 30*time.Second}},
		{model.Renumber, 3600, [3]time.Duration{time.Hour, 2 * time.Second, 4 * time.Second}},
		{model.Renumber, 3, [3]time.Duration{3 * time.Second, time.Second, 2 * time.Second}},
	}
	for _, tt := range tests {
		c := webConfig()
		c.Networks[0].Overlap, c.Networks[0].LeaseTime = tt.overlap, tt.lease
		r := Answer(scopeOf(c, model.HostFacts{MTU: 1500}), newTable(), card(0x11).message(dhcpv4.MessageTypeDiscover), Sender{Port: 1}, start).Reply
		got := [3]time.Duration{r.IPAddressLeaseTime(0), r.IPAddressRenewalTime(0), r.IPAddressRebindingTime(0)}
		if got != tt.want {
			t.Errorf("overlap %s, lease %d s: %v, want %v", tt.overlap, tt.lease, got, tt.want)
		}
	}
}

// A renewal is stored and no news; whatever else changes is.
func TestWhatIsNews(t *testing.T) {
	t.Parallel()
	s, table, c := webScope(), newTable(), card(0x70)
	a := take(t, s, table, c, start)
	steps := []struct {
		what string
		with []dhcpv4.Modifier
		news bool
	}{
		{"a renewal", []dhcpv4.Modifier{has(a)}, false},
		{"another name", []dhcpv4.Modifier{has(a), named("vm")}, true},
		{"a renewal under that name", []dhcpv4.Modifier{has(a), named("vm")}, false},
	}
	for i, step := range steps {
		out := Answer(s, table, c.message(dhcpv4.MessageTypeRequest, step.with...), Sender{Port: 1}, start.Add(time.Duration(i+1)*time.Minute))
		if len(out.Changed) != 1 || out.isNews() != step.news {
			t.Errorf("%s: stored %v, news %t", step.what, out.Changed, out.isNews())
		}
	}
}
