package warning

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// warned makes a configuration by the steps and returns what is warned of.
func warned(t *testing.T, facts model.HostFacts, absent map[string]error, steps ...func(*config.Config) error) string {
	t.Helper()
	c := config.NewConfig()
	for i, step := range steps {
		if err := step(&c); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	w := New(&c, facts, absent)
	var texts []string
	for _, one := range w.All() {
		texts = append(texts, one.Text)
		if about := w.About(one.About); len(about) == 0 {
			t.Errorf("%q is not found by what it is about, %+v", one.Text, one.About)
		}
	}
	return strings.Join(texts, "\n")
}

func network(spec config.NetworkSpec) func(*config.Config) error {
	return func(c *config.Config) error {
		_, err := c.AddNetwork(spec, model.HostFacts{}, nil)
		return err
	}
}

func setNetwork(name, settings string) func(*config.Config) error {
	return func(c *config.Config) error {
		_, err := c.SetNetwork(name, valuesOf(settings))
		return err
	}
}

func setNAT(name, settings string) func(*config.Config) error {
	return func(c *config.Config) error {
		_, err := c.SetNAT(name, valuesOf(settings))
		return err
	}
}

// valuesOf reads "KEY=VALUE KEY=VALUE".
func valuesOf(settings string) map[string]string {
	values := make(map[string]string)
	for text := range strings.FieldsSeq(settings) {
		key, value, _ := strings.Cut(text, "=")
		values[key] = value
	}
	return values
}

func endpoint(spec config.EndpointSpec) func(*config.Config) error {
	return func(c *config.Config) error {
		_, err := c.AddEndpoint(spec, model.HostFacts{}, behindTheGateway)
		return err
	}
}

func behindTheGateway(n model.Network, _ []model.Endpoint) (netip.Addr, error) {
	return n.Gateway4().Next(), nil
}

func mapping(spec config.MappingSpec) func(*config.Config) error {
	return func(c *config.Config) error {
		_, err := c.AddMapping(spec, nil)
		return err
	}
}

func proxy(spec config.ProxySpec) func(*config.Config) error {
	return func(c *config.Config) error {
		_, err := c.AddProxy(spec, config.Locate{Resolve: func(string) []netip.Addr { return nil }, Local: func(netip.Addr) bool { return false }})
		return err
	}
}

// A Warning is about what nobody can have meant, and about nothing else.
func TestWarnings(t *testing.T) {
	t.Parallel()
	web := network(config.NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"})
	c1 := endpoint(config.EndpointSpec{Network: "web", Name: "c1", Netns: "c1", Address: "172.16.1.9"})
	facts := model.HostFacts{
		Addresses: []model.HostAddress{{Address: netip.MustParseAddr("192.168.7.5"), Interface: "eth0"}},
		Routers:   []model.HostMachine{{Address: netip.MustParseAddr("192.168.7.1"), Source: "router of the default route via eth0"}},
		Resolvers: []netip.Addr{netip.MustParseAddr("172.16.9.53")},
	}
	gone := map[string]error{"c1": errors.New("its namespace is not there")}
	steps := func(list ...func(*config.Config) error) []func(*config.Config) error { return list }
	tests := []struct {
		name   string
		steps  []func(*config.Config) error
		absent map[string]error
		want   string // a part of the only warning; empty: there is none
	}{
		{"a plain network with an endpoint", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "80", Internal: "c1:80"})), nil, ""},

		{"a subnet over the resolver", steps(network(config.NetworkSpec{Name: "over", Subnet: "172.16.9.0/24"})), nil, "holds 172.16.9.53, the host's resolver"},
		{"in a compartment, where the host reaches it", steps(network(config.NetworkSpec{Name: "over", Subnet: "172.16.9.0/24", Compartment: "lab"})), nil, ""},
		{"the resolver is a VM of the network", steps(network(config.NetworkSpec{Name: "over", Subnet: "172.16.9.0/24"}),
			endpoint(config.EndpointSpec{Network: "over", Name: "dns", TAP: "tap0", Address: "172.16.9.53"})), nil, ""},
		{"a subnet over the router", steps(network(config.NetworkSpec{Name: "over", Subnet: "192.168.0.0/16"})), nil, "holds 192.168.7.1, router of the default route"},
		{"a public subnet", steps(network(config.NetworkSpec{Name: "web", Subnet: "8.8.8.0/24"})), nil, "8.8.8.0/24 is public"},
		{"a subnet that is in part private", steps(network(config.NetworkSpec{Name: "web", Subnet: "10.0.0.0/7"})), nil, "10.0.0.0/7 is public"},
		{"a public subnet without NAT", steps(network(config.NetworkSpec{Name: "web", Subnet: "8.8.8.0/24", NAT: "none"})), nil, ""},

		{"everybody's domain", steps(web, setNetwork("web", "domain=com")), nil, `domain "com" is a public one`},
		{"everybody's of two labels", steps(web, setNetwork("web", "domain=co.uk")), nil, `domain "co.uk" is a public one`},
		{"one's own", steps(web, setNetwork("web", "domain=lab.example.com")), nil, ""},
		{"a private one", steps(web, setNetwork("web", "domain=lan")), nil, ""},
		{"everybody's, and nobody answers for it", steps(web, setNetwork("web", "domain=com dns=off")), nil, ""},

		{"nobody gets an address", steps(web, setNetwork("web", "range=172.16.1.1")), nil, "no address is left for DHCP clients"},
		{"all are excluded", steps(web, setNetwork("web", "range=172.16.1.10-172.16.1.20 exclude=172.16.1.9-172.16.1.15,172.16.1.16-172.16.1.20")), nil, "no address is left for DHCP clients"},
		{"one is left", steps(web, setNetwork("web", "range=172.16.1.10-172.16.1.20 exclude=172.16.1.9-172.16.1.15,172.16.1.17-172.16.1.20")), nil, ""},
		{"settings of DHCP that is off", steps(web, setNetwork("web", "dhcp=off range=172.16.1.10-172.16.1.20 ntp=192.0.2.1")), nil, "dhcp is off, and nobody is told its range, ntp"},
		{"a short lease", steps(web, setNetwork("web", "lease-time=10")), nil, "each DHCP client asks every 5s"},
		{"an hour", steps(web, setNetwork("web", "lease-time=1h")), nil, ""},
		{"a time server behind no NAT", steps(network(config.NetworkSpec{Name: "in", Subnet: "172.16.1.0/24", NAT: "none"}), setNetwork("in", "ntp=192.0.2.1")), nil, "do not reach the time server 192.0.2.1"},
		{"a time server of the network", steps(network(config.NetworkSpec{Name: "in", Subnet: "172.16.1.0/24", NAT: "none"}), setNetwork("in", "ntp=172.16.1.1")), nil, ""},
		{"a cloud's time server", steps(web, setNetwork("web", "ntp=169.254.169.123")), nil, "link-local=allow"},
		{"a cloud's time server that is let through", steps(web, setNetwork("web", "ntp=169.254.169.123"), setNAT("default", "link-local=allow")), nil, ""},
		{"a boot server behind no NAT", steps(network(config.NetworkSpec{Name: "in", Subnet: "172.16.1.0/24", NAT: "none"}), setNetwork("in", "pxe-next-server=192.0.2.1 pxe-boot-file=x")), nil, "do not reach the boot server"},
		{"a boot server without a file", steps(web, setNetwork("web", "pxe-next-server=192.0.2.1")), nil, "told a server, but no file"},
		{"a route to the network itself", steps(web, setNetwork("web", "routes=172.16.1.128/25=172.16.1.9")), nil, "is for a part of the network itself"},
		{"a route that holds the network", steps(web, setNetwork("web", "routes=172.16.0.0/12=172.16.1.9")), nil, ""},
		{"a reservation without DHCP", steps(web, setNetwork("web", "dhcp=off"), func(c *config.Config) error {
			_, err := c.AddReservation(config.ReservationSpec{Network: "web", MAC: "02:00:00:00:00:01", Address: "172.16.1.7"}, model.HostFacts{})
			return err
		}), nil, "172.16.1.7 of network web is kept"},

		{"udp below its floor", steps(setNAT("default", "udp-timeout=119")), nil, "udp-timeout is 119s, below the 120s that RFC 4787, REQ-5"},
		{"udp at its floor", steps(setNAT("default", "udp-timeout=2m")), nil, ""},
		{"established below its floor", steps(setNAT("default", "tcp-established-timeout=7439")), nil, "RFC 5382"},
		{"transitory below its floor", steps(setNAT("default", "tcp-transitory-timeout=239")), nil, "RFC 5382"},
		{"icmp below its floor", steps(setNAT("default", "icmp-timeout=59")), nil, "RFC 5508"},
		{"a profile's own", steps(setNAT("default", "profile=winnat")), nil, ""},
		{"below a profile's own", steps(setNAT("default", "profile=winnat udp-timeout=30")), nil, "udp-timeout is 30s"},

		{"an endpoint that is absent", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "80", Internal: "c1:80"})), gone, `leads nowhere: endpoint "c1" is absent`},
		{"one that was detached", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "80", Internal: "c1:80"}), func(c *config.Config) error { return c.DetachEndpoint("c1") }), nil, `endpoint "c1" is not attached`},
		{"nobody's address", steps(web, mapping(config.MappingSpec{Protocol: "tcp", External: "80", Internal: "172.16.1.77:80"})), nil, "nobody is known at 172.16.1.77"},
		{"an endpoint's address", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "80", Internal: "172.16.1.9:80"})), nil, ""},
		{"an absent endpoint's address", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "80", Internal: "172.16.1.9:80"})), gone, "nobody is known at 172.16.1.9"},
		{"one of two targets", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "80", Internal: "c1:80,172.16.1.77:80"})), nil, "leads in part nowhere"},
		{"an address of nobody outside", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "10.9.9.9:80", Internal: "c1:80"})), nil, "10.9.9.9, which no interface"},
		{"the host's address", steps(web, c1, mapping(config.MappingSpec{Protocol: "tcp", External: "192.168.7.5:80", Internal: "c1:80"})), nil, ""},

		{"a proxy to nobody", steps(web, proxy(config.ProxySpec{Kind: "v4tov4", Listen: "8081", Connect: "172.16.1.77:80"})), nil, "nobody is known at 172.16.1.77"},
		{"a proxy to an absent endpoint", steps(web, c1, proxy(config.ProxySpec{Kind: "v4tov4", Listen: "8081", Connect: "c1:80"})), gone, `endpoint "c1" is absent`},
		{"a proxy by name to nobody", steps(web, proxy(config.ProxySpec{Kind: "name", Listen: "8081", Routes: []string{"*=172.16.1.77:80"}})), nil, "nobody is known at 172.16.1.77"},
		{"a proxy to somewhere outside", steps(web, proxy(config.ProxySpec{Kind: "v4tov4", Listen: "8081", Connect: "192.0.2.1:80"})), nil, ""},
		{"a proxy to an endpoint", steps(web, c1, proxy(config.ProxySpec{Kind: "v4tov4", Listen: "8081", Connect: "c1:80"})), nil, ""},

		{"the resolver behind an endpoint", steps(web, endpoint(config.EndpointSpec{Network: "web", Name: "r", TAP: "tap0", Allow: []string{"172.16.8.0/22"}})), nil, "holds 172.16.9.53, the host's resolver"},
		{"somebody else behind an endpoint", steps(web, endpoint(config.EndpointSpec{Network: "web", Name: "r", TAP: "tap0", Allow: []string{"172.16.16.0/22", "0.0.0.0/0"}})), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := warned(t, facts, tt.absent, tt.steps...)
			if !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") || strings.Contains(got, "\n") {
				t.Errorf("warned of %q, want %q", got, tt.want)
			}
		})
	}
}
