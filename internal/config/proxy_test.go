package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/model"
)

func TestCheckPattern(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want, refusal string }{
		{"www.a.example", "www.a.example", ""},
		{"WWW.A.Example.", "www.a.example", ""},
		{"localhost", "localhost", ""},
		{"*", "*", ""},
		{"*.b.example", "*.b.example", ""},
		{"*.B.example.", "*.b.example", ""},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{"_dmarc.example", "_dmarc.example", ""},
		{"192.0.2.1", "192.0.2.1", ""},
		{"::ffff:192.0.2.1", "192.0.2.1", ""},
		{"[2001:DB8::1]", "2001:db8::1", ""},
		{"2001:db8:0::1", "2001:db8::1", ""},
		{"", "", "no name"},
		{"bücher.example", "", "not ASCII"},
		{"a.*.example", "", "none that a client could ask for"},
		{"*b.example", "", "none that a client could ask for"},
		{"**", "", "none that a client could ask for"},
		{"*.*", "", "none that a client could ask for"},
		{"[a.example]", "", "none that a client could ask for"},
		{"*.", "", "none that a client could ask for"},
		{".a.example", "", "not a name"},
		{"a..example", "", "not a name"},
		{"a.example:443", "", "contains ':'"},
		{"a example", "", "contains ' '"},
		{strings.Repeat("a", 64) + ".example", "", "not a name"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got, err := checkPattern(test.in)
			if test.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), test.refusal) {
					t.Errorf("got %q, %v; want a refusal with %q", got, err, test.refusal)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestCheckRoutes(t *testing.T) {
	t.Parallel()
	c1, c2 := hostPortsOf(t, "c1:443"), hostPortsOf(t, "c2:443")
	tests := []struct {
		name    string
		in      []model.ProxyRoute
		refusal string
	}{
		{"none", nil, "has no routes"},
		{"one", []model.ProxyRoute{{Pattern: "a", Connect: c1}}, ""},
		{"most specific and least", []model.ProxyRoute{{Pattern: "*", Connect: c1}, {Pattern: "*.a", Connect: c2}, {Pattern: "b.a", Connect: c1}}, ""},
		{"twice the same", []model.ProxyRoute{{Pattern: "a", Connect: c1}, {Pattern: "a", Connect: c1}}, "a leads to c1:443 and to c1:443"},
		{"twice the default", []model.ProxyRoute{{Pattern: "*", Connect: c1}, {Pattern: "*", Connect: c2}}, "* leads to c1:443 and to c2:443"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := checkRoutes(test.in)
			if test.refusal == "" && err != nil || test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)) {
				t.Errorf("got %v, want %q", err, test.refusal)
			}
		})
	}
}

func hostPortsOf(t testing.TB, text string) model.HostPorts {
	t.Helper()
	h, err := model.ParseHostPorts("connect", text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// FuzzServerNames checks, by asking for each pattern in turn, that the most
// specific one is found.
func FuzzServerNames(f *testing.F) {
	f.Add("www.b.example", "*.b.example", "www.b.example")
	f.Add("", "*", "*.a")
	f.Add("::1", "[::1]", "*.1")
	f.Fuzz(func(t *testing.T, name, first, second string) {
		var routes []model.ProxyRoute
		for i, p := range []string{first, second} {
			if p, err := checkPattern(p); err == nil {
				if again, err := checkPattern(p); err != nil || again != p {
					t.Fatalf("pattern %q becomes %q, %v", p, again, err)
				}
				routes = append(routes, model.ProxyRoute{Pattern: p, Connect: model.HostPorts{Host: p, Ports: model.PortRange{Low: uint16(i + 1), High: uint16(i + 1)}}})
			}
		}
		if checkRoutes(routes) != nil {
			return
		}
		want := ""
		for _, r := range routes {
			if patternHolds(r.Pattern, model.FoldServerName(name)) && moreSpecific(r.Pattern, want) {
				want = r.Pattern
			}
		}
		if got, ok := model.NewServerNames(routes).Lookup(name); got.Host != want || ok != (want != "") {
			t.Errorf("%q leads to %q, %v; want %q", name, got.Host, ok, want)
		}
	})
}

func patternHolds(pattern, name string) bool {
	if above, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(name, above)
	}
	return pattern == name
}

func moreSpecific(p, q string) bool {
	exact := func(s string) bool { return s != "" && !strings.HasPrefix(s, "*") }
	if exact(p) != exact(q) {
		return exact(p)
	}
	return len(p) > len(q)
}

// here is a host at 192.168.7.5 on which "me.example" is known.
func here(c *Config) Locate {
	return Locate{
		Local: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.168.7.5") },
		Resolve: func(host string) []netip.Addr {
			if host == "me.example" {
				return []netip.Addr{netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("192.168.7.5")}
			}
			if e, err := c.Endpoint(host); err == nil {
				return []netip.Addr{e.Address4()}
			}
			return nil
		},
	}
}

func span(low, high uint16) model.PortRange { return model.PortRange{Low: low, High: high} }

func TestAddProxy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec ProxySpec
		want model.Proxy
	}{
		{"a port alone", ProxySpec{Kind: "v4tov4", Listen: "80", Connect: "c1:8080"},
			model.Proxy{Kind: model.V4ToV4, Protocol: model.TCP, Listen: model.HostPorts{Host: "*", Ports: span(80, 80)}, Connect: model.HostPorts{Host: "c1", Ports: span(8080, 8080)}}},
		{"colon and port", ProxySpec{Kind: "V4toV6", Protocol: "UDP", Listen: ":5353", Connect: "[2001:DB8::1]:5353"},
			model.Proxy{Kind: model.V4ToV6, Protocol: model.UDP, Listen: model.HostPorts{Host: "*", Ports: span(5353, 5353)}, Connect: model.HostPorts{Host: "2001:db8::1", Ports: span(5353, 5353)}}},
		{"netsh's star", ProxySpec{Kind: "v6tov4", Listen: "*:443", Connect: "WWW.example.:443", ProxyProtocol: true},
			model.Proxy{Kind: model.V6ToV4, Protocol: model.TCP, Listen: model.HostPorts{Host: "*", Ports: span(443, 443)}, Connect: model.HostPorts{Host: "WWW.example", Ports: span(443, 443)}, ProxyProtocol: true}},
		{"ranges", ProxySpec{Kind: "v6tov6", Listen: "[::1]:8000-8999", Connect: "[2001:db8::1]:9000-9999"},
			model.Proxy{Kind: model.V6ToV6, Protocol: model.TCP, Listen: model.HostPorts{Host: "::1", Ports: span(8000, 8999)}, Connect: model.HostPorts{Host: "2001:db8::1", Ports: span(9000, 9999)}}},
		{"v4-mapped", ProxySpec{Kind: "v4tov4", Listen: "[::ffff:127.0.0.1]:80", Connect: "192.0.2.1:80"},
			model.Proxy{Kind: model.V4ToV4, Protocol: model.TCP, Listen: model.HostPorts{Host: "127.0.0.1", Ports: span(80, 80)}, Connect: model.HostPorts{Host: "192.0.2.1", Ports: span(80, 80)}}},
		{"beside a mapping, over IPv6", ProxySpec{Kind: "v6tov4", Listen: "8080", Connect: "c1:80"},
			model.Proxy{Kind: model.V6ToV4, Protocol: model.TCP, Listen: model.HostPorts{Host: "*", Ports: span(8080, 8080)}, Connect: model.HostPorts{Host: "c1", Ports: span(80, 80)}}},
		{"other protocol than a mapping", ProxySpec{Kind: "v4tov4", Protocol: "udp", Listen: "8080", Connect: "c1:80"},
			model.Proxy{Kind: model.V4ToV4, Protocol: model.UDP, Listen: model.HostPorts{Host: "*", Ports: span(8080, 8080)}, Connect: model.HostPorts{Host: "c1", Ports: span(80, 80)}}},
		{"from a port to the same port of another host", ProxySpec{Kind: "v4tov4", Listen: "192.168.7.5:80", Connect: "192.168.7.6:80"},
			model.Proxy{Kind: model.V4ToV4, Protocol: model.TCP, Listen: model.HostPorts{Host: "192.168.7.5", Ports: span(80, 80)}, Connect: model.HostPorts{Host: "192.168.7.6", Ports: span(80, 80)}}},
		{"from one address of the host to another", ProxySpec{Kind: "v4tov4", Listen: "192.168.7.5:80", Connect: "127.0.0.1:80"},
			model.Proxy{Kind: model.V4ToV4, Protocol: model.TCP, Listen: model.HostPorts{Host: "192.168.7.5", Ports: span(80, 80)}, Connect: model.HostPorts{Host: "127.0.0.1", Ports: span(80, 80)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			got, err := c.AddProxy(tt.spec, here(&c))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = 1
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			before := c.Clone()
			if again, err := c.AddProxy(tt.spec, here(&c)); err != nil || again.ID != got.ID {
				t.Errorf("again: %v, %v", again, err)
			}
			unchanged(t, before, c)
			if err := c.DeleteProxy(1); err != nil {
				t.Fatal(err)
			}
			if later, err := c.AddProxy(tt.spec, here(&c)); err != nil || later.ID != 2 {
				t.Errorf("after deleting: %v, %v", later, err)
			}
		})
	}
}

func TestAddProxyRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, kind, protocol, listen, connect string
		routes                                []string
		header, transparent                   bool
		code                                  model.Code
		mentions                              string
	}{
		{name: "kind", kind: "v4tov5", mentions: `"v4tov5" is not a kind of port proxy`},
		{name: "protocol", protocol: "sctp", mentions: `a port proxy cannot be for protocol "sctp"; use tcp or udp`},
		{name: "icmp", protocol: "icmp", mentions: `use tcp or udp`},
		{name: "listen port 0", listen: "0", mentions: `listen port "0" is not a port`},
		{name: "listen port 65536", listen: "65536", mentions: `listen port "65536" is not a port`},
		{name: "nothing to listen on", listen: "none", mentions: "nothing to listen on"},
		{name: "listen without port", listen: "192.168.7.5", mentions: `listen "192.168.7.5" has no port`},
		{name: "connect port 0", connect: "c1:0", mentions: `connect port "0" is not a port`},
		{name: "no target", connect: "none", mentions: "the proxy has no connect"},
		{name: "connect without port", connect: "c1", mentions: `connect "c1" has no port`},
		{name: "connect without host", connect: ":80", mentions: `connect ":80" has no host`},
		{name: "connect to all", connect: "*:80", mentions: "no place to connect to"},
		{name: "connect to 0.0.0.0", connect: "0.0.0.0:80", mentions: "no place to connect to"},
		{name: "connect to a group", connect: "224.0.0.1:80", mentions: "not the address of one host"},
		{name: "reversed range", listen: "90-80", mentions: "reversed; write 80-90"},
		{name: "other length", listen: "80-90", connect: "c1:80-89", mentions: "listen *:80-90 has 11 ports, but connect c1:80-89 has 10 ports; give both ranges the same length"},
		{name: "too many", listen: "1001-2001", connect: "c1:1001-2001", mentions: "1001 ports, and a proxy can have 1000"},
		{name: "octal", connect: "192.168.07.5:80", mentions: "192.168.7.5"},
		{name: "not quite an address", connect: "1.2.3:80", mentions: "not an IPv4 address"},
		{name: "a number", connect: "5:80", mentions: "not an IPv4 address"},
		{name: "not a name", connect: "a b:80", mentions: "contains"},
		{name: "empty label", connect: "a..b:80", mentions: "is not a name"},
		{name: "listen IPv6", listen: "[::1]:80", mentions: "listen address ::1 is IPv6, and a v4tov4 proxy listens on IPv4; use v6tov4"},
		{name: "listen IPv4", kind: "v6tov6", listen: "127.0.0.1:80", connect: "[::1]:80", mentions: "use v4tov6"},
		{name: "connect IPv6", connect: "[::1]:80", mentions: "connect address ::1 is IPv6, and a v4tov4 proxy connects over IPv4; use v4tov6"},
		{name: "connect IPv4", kind: "v6tov6", connect: "127.0.0.1:80", mentions: "use v6tov4"},
		{name: "mapped", listen: "8080", code: model.Conflict, mentions: "tcp *:8080 is mapped already: mapping 1 (tcp *:8080 to c1:80)"},
		{name: "mapped, in a range", listen: "8000-8099", connect: "c1:8000-8099", code: model.Conflict, mentions: "mapping 1 (tcp *:8080 to c1:80)"},
		{name: "mapped on all addresses", listen: "127.0.0.1:8080", code: model.Conflict, mentions: "mapping 1"},
		{name: "another proxy's", listen: "127.0.0.1:7000-7001", connect: "c1:80-81", code: model.Conflict, mentions: "port proxy 1 (v4tov4 tcp *:7000 to c2:80) listens on tcp 7000; delete it first"},
		{name: "routes", routes: []string{"a=c1:80"}, mentions: "a proxy of kind v4tov4 has no routes"},
		{name: "header over UDP", protocol: "udp", header: true, mentions: "no PROXY protocol header over udp"},
		{name: "transparent", transparent: true, mentions: "hostnat mapping add"},
		{name: "to itself", connect: "127.0.0.1:9000", code: model.Conflict, mentions: "the proxy on tcp *:9000 would connect to itself; give another target"},
		{name: "to itself by the host's address", connect: "192.168.7.5:9000", code: model.Conflict, mentions: "would connect to itself"},
		{name: "to itself by name", connect: "me.example:9000", code: model.Conflict, mentions: "would connect to itself"},
		{name: "to itself by ranges", listen: "9000-9010", connect: "127.0.0.1:9010-9020", code: model.Conflict, mentions: "would connect to itself"},
		{name: "to itself by IPv6", kind: "v6tov6", connect: "[::1]:9000", code: model.Conflict, mentions: "would connect to itself"},
		{name: "to itself by another proxy", listen: "127.0.0.1:6000", connect: "127.0.0.1:6001", code: model.Conflict, mentions: "would connect to itself by way of proxy 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			must(t)(c.AddProxy(ProxySpec{Kind: "v4tov4", Listen: "7000", Connect: "c2:80"}, here(&c)))
			must(t)(c.AddProxy(ProxySpec{Kind: "v4tov4", Listen: "6001", Connect: "127.0.0.1:6000"}, here(&c)))
			spec := ProxySpec{Kind: or(tt.kind, "v4tov4"), Protocol: tt.protocol, Listen: or(tt.listen, "9000"), Connect: or(tt.connect, "c1:80"),
				Routes: tt.routes, ProxyProtocol: tt.header, Transparent: tt.transparent}
			spec.Listen, spec.Connect = strings.TrimSuffix(spec.Listen, "none"), strings.TrimSuffix(spec.Connect, "none")
			before := c.Clone()
			_, err := c.AddProxy(spec, here(&c))
			want := tt.code
			if want == "" {
				want = model.Invalid
			}
			if err == nil || model.CodeOf(err) != want || !strings.Contains(err.Error(), tt.mentions) {
				t.Errorf("got %v, want %s that mentions %q", err, want, tt.mentions)
			}
			unchanged(t, before, c)
		})
	}
}

// A mapping is refused on a proxy's port, with its name.
func TestMappingBesideProxy(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	must(t)(c.AddProxy(ProxySpec{Kind: "v4tov4", Listen: "7000-7010", Connect: "c2:80-90"}, here(&c)))
	must(t)(c.AddProxy(ProxySpec{Kind: "v6tov4", Listen: "7020", Connect: "c2:80"}, here(&c)))
	_, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: "7005", Internal: "c1:80"}, noPort)
	const want = "port proxy 1 (v4tov4 tcp *:7000-7010 to c2:80-90) listens on tcp *:7000-7010; delete it first, or choose another external port"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	for _, external := range []string{"7020", "7011"} {
		if _, err := c.AddMapping(MappingSpec{Protocol: "tcp", External: external, Internal: "c1:80"}, noPort); err != nil {
			t.Errorf("%s: %v", external, err)
		}
	}
}

// A configuration that was stored before there were proxies has no next id for one.
func TestFirstProxyOfAnOldConfiguration(t *testing.T) {
	t.Parallel()
	old := Config{}
	if p, err := old.AddProxy(ProxySpec{Kind: "v4tov4", Listen: "53", Connect: "a.example:53"}, here(&old)); err != nil || p.ID != 1 || old.NextProxy != 2 {
		t.Errorf("in an old configuration: %v, %v", p, err)
	}
}

// Whatever is typed is refused or comes back as the text of what it was read as.
func FuzzHostPorts(f *testing.F) {
	for _, s := range []string{"80", ":80", "*:80", "[::1]:1-2", "a.example.:65535", "127.0.0.1:0", "a b:1", "[fe80::1%eth0]:80", "::1:80", "1.2.3:4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (model.HostPorts, error){parseListen, parseConnect} {
			h, err := parse(s)
			if err != nil {
				if strings.ContainsAny(err.Error(), "\n\r") && !strings.ContainsAny(s, "\n\r") {
					t.Errorf("%q: more than a line: %v", s, err)
				}
				continue
			}
			var back model.HostPorts
			if err := back.UnmarshalText([]byte(h.String())); err != nil || back != h {
				t.Errorf("%q: %+v, back %+v, %v", s, h, back, err)
			}
		}
	})
}

// A proxy may not take its questions from a network's name server, whichever of
// the two is there first.
func TestProxyOnTheNameServersPort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		protocol, listen string
		code             model.Code
	}{
		{"udp", "53", model.Conflict}, {"tcp", "*:53", model.Conflict}, {"udp", "172.16.1.1:53", model.Conflict},
		{"udp", "192.168.7.5:53", ""}, {"udp", "5353", ""},
	} {
		c := testConfig(t)
		spec := ProxySpec{Kind: "v4tov4", Protocol: tt.protocol, Listen: tt.listen, Connect: "192.0.2.9:53"}
		at := Locate{Resolve: func(string) []netip.Addr { return nil }, Local: func(netip.Addr) bool { return false }}
		if _, err := c.AddProxy(spec, at); (err != nil) != (tt.code != "") || err != nil && model.CodeOf(err) != tt.code {
			t.Errorf("%s %s: %v", tt.protocol, tt.listen, err)
		}
		alone := NewConfig()
		if _, err := alone.AddProxy(spec, at); err != nil {
			t.Errorf("%s %s without a network: %v", tt.protocol, tt.listen, err)
		}
		_, err := alone.AddNetwork(NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"}, model.HostFacts{}, nil)
		if (err != nil) != (tt.code != "") {
			t.Errorf("a network beside %s %s: %v", tt.protocol, tt.listen, err)
		}
	}
}
