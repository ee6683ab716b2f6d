package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host/examine"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

func pre(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// healthy is a host on which nothing is wrong: network web with endpoint c1 and
// port 8080 published, and a network on an adopted bridge.
func healthy() Facts {
	c := config.NewConfig()
	c.Networks = []model.Network{
		{Name: "web", ID: 3, NAT: "default", Compartment: "default", Bridge: "hn-web", Subnets: []netip.Prefix{pre("172.16.1.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.1.1")}},
		{Name: "lan", ID: 4, NAT: "default", Compartment: "default", Bridge: "br0", Adopted: true, Subnets: []netip.Prefix{pre("172.16.2.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.2.1")}},
	}
	c.Endpoints = []model.Endpoint{{Name: "c1", Network: "web", Kind: model.KindNetns, Interface: "hv-c1", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2")}}}
	c.Mappings = []model.Mapping{{ID: 1, NAT: "default", Protocol: model.TCP,
		External: model.SinglePort(netip.MustParseAddrPort("0.0.0.0:8080")),
		Targets:  []model.Target{{Endpoint: "c1", Network: "web", Internal: model.SinglePort(netip.MustParseAddrPort("172.16.1.2:80"))}}}}
	return Facts{
		Config: c, HasConfig: true, Root: true, Daemon: &Daemon{PID: 77, Counters: model.Counters{Sessions: 10, MaxSessions: 100}},
		Host: examine.Examination{
			Kernel:   examine.Release{Text: "6.18.0", Major: 6, Minor: 18},
			Features: []examine.Feature{{Name: "TCX", Lost: "nothing works"}},
			Links: []host.Link{
				{Index: 1, Name: "lo", Loopback: true}, {Index: 2, Name: "eth0", MTU: 1500}, {Index: 3, Name: "hostnat0", Alias: host.Owner},
				{Index: 4, Name: "hn-web", Alias: host.Owner, MTU: 1500}, {Index: 5, Name: "hv-c1", Alias: host.Owner},
				{Index: 6, Name: "br0", MTU: 1500, Lent: []netip.Prefix{pre("172.16.2.1/24")}},
			},
			Routes: []host.Route{
				{Prefix: pre("0.0.0.0/0"), Link: "eth0", Table: 254}, {Prefix: pre("203.0.113.0/24"), Link: "eth0", Table: 254},
				{Prefix: pre("172.16.1.0/24"), Link: "hn-web", Table: 254}, {Prefix: pre("172.16.2.0/24"), Link: "br0", Table: 254},
			},
			Host: model.HostFacts{
				Prefixes:         []model.HostPrefix{{Prefix: pre("203.0.113.0/24"), Source: "address of eth0"}},
				DefaultInterface: "eth0", MTU: 1500,
			},
			Sysctls: map[string]string{
				"net/ipv4/ip_forward": "0", "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/hn-web/rp_filter": "1", "net/ipv4/conf/br0/rp_filter": "1",
				"net/core/bpf_jit_enable": "1", "kernel/unprivileged_bpf_disabled": "2", "net/bridge/bridge-nf-call-iptables": "1",
				"net/ipv4/neigh/default/gc_thresh3": "1024", "net/netfilter/nf_conntrack_count": "10", "net/netfilter/nf_conntrack_max": "1000",
			},
			Listeners: []model.Listener{
				{Program: "hostnat", PID: 77, Protocol: model.UDP, Address: netip.MustParseAddrPort("0.0.0.0:67")},
				{Program: "dnsmasq", PID: 8, Protocol: model.UDP, Address: netip.MustParseAddrPort("192.168.122.1:53")},
			},
			Resolvers: []examine.Resolver{{Address: netip.MustParseAddr("192.0.2.53")}},
		},
	}
}

// addEndpoints adds so many more of a kind.
func (f *Facts) addEndpoints(network string, count int, kind model.EndpointKind) {
	for i := range count {
		name := fmt.Sprintf("more%d", len(f.Config.Endpoints))
		f.Config.Endpoints = append(f.Config.Endpoints, model.Endpoint{
			ID: uint32(1000 + i), Name: name, Network: network, Kind: kind, Target: name, Interface: "m-" + name, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{172, 20, byte(i >> 8), byte(i)})},
		})
	}
}

// without ends the daemon, and its listeners with it.
func without(f *Facts) { f.Daemon, f.Host.Listeners = nil, f.Host.Listeners[1:] }

// TestChecks breaks one thing at a time: exactly that is found.
func TestChecks(t *testing.T) {
	t.Parallel()
	type want struct {
		check    string
		severity Severity
		what     string
		command  string
		fixable  bool
	}
	tests := []struct {
		name  string
		spoil func(*Facts)
		want  []want
	}{
		{"nothing is wrong", func(*Facts) {}, nil},
		{"old kernel", func(f *Facts) { f.Host.Features[0].Missing = "no such place" },
			[]want{{"kernel", Problem, "Linux 6.18.0 has no TCX: no such place", "install a kernel of Linux 6.6 or later with CONFIG_DEBUG_INFO_BTF=y", false}}},
		{"a feature that may not be probed", func(f *Facts) { f.Host.Features[0].Unknown = true }, nil},
		{"JIT off", func(f *Facts) { f.Host.Sysctls["net/core/bpf_jit_enable"] = "0" },
			[]want{{"jit", Warning, "the BPF JIT is off (net.core.bpf_jit_enable is 0)", "sysctl -w net.core.bpf_jit_enable=1", true}}},
		{"a kernel that knows no JIT switch", func(f *Facts) { delete(f.Host.Sysctls, "net/core/bpf_jit_enable") }, nil},
		{"no daemon", without, []want{{"daemon", Problem, "the daemon is not running", "hostnat daemon", false}}},
		{"the daemon's own trouble", func(f *Facts) { f.Daemon.Problems = []string{"no NAT has an external address"} },
			[]want{{"daemon", Problem, "no NAT has an external address", "hostnat status", false}}},
		{"damaged state", func(f *Facts) { f.StateFiles = []string{"a damaged configuration lies in /x"} },
			[]want{{"state", Warning, "a damaged configuration lies in /x", "", false}}},
		{"absent endpoint", func(f *Facts) { f.Daemon.Absent = map[string]error{"c1": errors.New("namespace c1 does not exist")} },
			[]want{{"endpoint", Warning, "endpoint c1 is not attached: namespace c1 does not exist", "hostnat endpoint detach c1", false}}},
		{"no default route", func(f *Facts) { f.Host.Host.DefaultInterface = "" },
			[]want{{"default-route", Problem, "the host has no default route", "ip route add default via ROUTER dev INTERFACE", false}}},
		{"default route into a network", func(f *Facts) {
			f.Host.Routes = append(f.Host.Routes, host.Route{Prefix: pre("0.0.0.0/0"), Link: "hn-web", Table: 100})
		}, []want{{"inside-route", Problem, "the route 0.0.0.0/0 leads into network web (table 100)", "ip route del 0.0.0.0/0 dev hn-web table 100", false}}},
		{"the same LAN", func(f *Facts) {
			f.Host.Host.Prefixes = append(f.Host.Host.Prefixes, model.HostPrefix{Prefix: pre("172.16.1.0/24"), Source: "address of wlan0"})
		}, []want{{"overlap", Problem, "network web (172.16.1.0/24) overlaps 172.16.1.0/24 of the host (address of wlan0)", "hostnat network renumber web", false}}},
		{"the same LAN, apart", func(f *Facts) {
			f.Config.Networks[0].Compartment = "blue"
			f.Host.Host.Prefixes = append(f.Host.Host.Prefixes, model.HostPrefix{Prefix: pre("172.16.1.0/24"), Source: "address of wlan0"})
		}, []want{{"overlap", Note, "network web (172.16.1.0/24) has the same addresses as 172.16.1.0/24 of the host (address of wlan0)", "", false}}},
		{"the LAN's router, apart", func(f *Facts) {
			f.Config.Networks[0].Compartment = "blue"
			f.Host.Host.Routers = []model.HostMachine{{Address: f.Config.Networks[0].Gateway4(), Source: "router of the default route via wlan0"}}
		}, []want{{"overlap", Problem, "network web (172.16.1.0/24) has the gateway 172.16.1.1, which the host's own network has too (router of the default route via wlan0)", "hostnat network renumber web", false}}},
		{"two networks alike", func(f *Facts) {
			f.Config.Networks[1].Subnets = []netip.Prefix{pre("172.16.1.128/25")}
			f.Host.Sysctls["net/ipv4/conf/br0/rp_filter"] = "0"
		},
			[]want{{"overlap", Problem, "networks web (172.16.1.0/24) and lan (172.16.1.128/25) of compartment default overlap", "hostnat network renumber lan", false}}},
		{"two networks alike, apart", func(f *Facts) {
			f.Config.Networks[1].Subnets, f.Config.Networks[1].Compartment = []netip.Prefix{pre("172.16.1.0/24")}, "blue"
			f.Host.Sysctls["net/ipv4/conf/br0/rp_filter"] = "2"
		}, nil},
		{"a VPN with less MTU", func(f *Facts) { f.Host.Links[5].MTU, f.Host.Host.MTU = 1500, 1400; f.Host.Links[3].MTU = 1400 },
			[]want{{"mtu", Warning, "network lan has an MTU of 1500 bytes, the way out 1400", "ip link set br0 mtu 1400", false}}},
		{"a TAP that takes less than the network", func(f *Facts) {
			f.Host.Links[3].MTU, f.Host.Links[4].MTU, f.Host.Links[4].MasterIndex, f.Host.Host.MTU = 9000, 9000, 4, 9000
			f.Host.Links = append(f.Host.Links, host.Link{Index: 7, Name: "tap0", MTU: 1500, MasterIndex: 4}, host.Link{Index: 8, Name: "tap1", MTU: 9000, MasterIndex: 4})
		}, []want{{"mtu", Warning, "port tap0 of network web has an MTU of 1500 bytes, others there 9000", "ip link set tap0 mtu 9000", false}}},
		{"an adopted bridge whose ports take less than an endpoint", func(f *Facts) {
			f.Host.Host.MTU, f.Host.Links[3].MTU = 9000, 9000
			f.Host.Links = append(f.Host.Links, host.Link{Index: 7, Name: "tap0", MTU: 1500, MasterIndex: 6}, host.Link{Index: 8, Name: "hv-c2", Alias: host.Owner, MTU: 9000, MasterIndex: 6})
		}, []want{{"mtu", Warning, "port tap0 of network lan has an MTU of 1500 bytes, others there 9000", "ip link set tap0 mtu 9000", false}}},
		{"an adopted bridge with less, and nothing of hostnat's on it", func(f *Facts) {
			f.Host.Host.MTU, f.Host.Links[3].MTU = 9000, 9000
			f.Host.Links = append(f.Host.Links, host.Link{Index: 7, Name: "tap0", MTU: 1500, MasterIndex: 6})
		}, nil},
		{"TAPs that are down, idle, and without a virtio header", func(f *Facts) {
			f.Config.Endpoints = append(f.Config.Endpoints, model.Endpoint{Name: "vm1", Network: "web", Kind: model.KindTAP, Interface: "tap1", Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.3")}})
			tap := func(index int, name string, up, open, vnet bool) host.Link {
				return host.Link{Index: index, Name: name, Type: "tuntap", HasEthernet: true, MTU: 1500, MasterIndex: 4, Up: up, Carrier: open, VNetHdr: vnet}
			}
			f.Host.Links = append(f.Host.Links, tap(7, "tap1", true, false, false), tap(8, "tap2", false, true, true), tap(9, "tap3", true, true, false), tap(10, "tap4", true, true, true))
			elsewhere := tap(11, "tap5", true, false, false)
			elsewhere.MasterIndex = 0
			f.Host.Links = append(f.Host.Links, elsewhere)
		}, []want{
			{"tap", Note, "TAP tap1 of endpoint vm1 is open in no program", "start the VM with it (QEMU: -netdev tap,ifname=tap1,script=no,downscript=no)", false},
			{"tap", Warning, "TAP tap2 on network web is down", "ip link set tap2 up", false},
			{"tap", Note, "TAP tap3 on network web is open without a virtio header", "open it with IFF_VNET_HDR (QEMU: a virtio-net device, and no vnet_hdr=off)", false},
		}},
		{"a rule before hostnat's", func(f *Facts) {
			f.Host.Rules = []host.RoutingRule{rule(0, 52, ""), rule(0, host.InsideTable, "lo")}
		}, []want{{"routing-rule", Problem, `routing rule "0: from all lookup 52" stands before hostnat's`, "ip rule del priority 0 lookup 52, and add it with a priority of 51 or more", false}}},
		{"rules before hostnat's that are in nobody's way, and one behind it", func(f *Facts) {
			f.Host.Rules = []host.RoutingRule{rule(0, 255, ""), rule(10, 52, "eth9"), rule(50, host.InsideTable, "lo"), rule(60, 52, "")}
		}, nil},
		{"IPsec policies that select what endpoints send", func(f *Facts) {
			f.Host.IPsec = []host.IPsecPolicy{
				{Forwarded: true, Source: pre("0.0.0.0/0"), Destination: pre("198.51.100.0/25"), Passes: true, Priority: 5},
				{Forwarded: true, Source: pre("172.16.0.0/12"), Destination: pre("198.51.100.0/25"), Priority: 10},
				{Forwarded: true, Source: pre("172.16.1.0/24"), Destination: pre("198.51.100.0/24"), Priority: 20},
				{Source: pre("10.99.0.0/16"), Destination: pre("198.51.100.0/24"), Priority: 30},
			}
		}, []want{{"ipsec", Warning, "an IPsec policy of the host (src 172.16.1.0/24 dst 198.51.100.0/24 dir fwd priority 20) drops what endpoints of web send", "ip xfrm policy, and for what may leave in clear a policy before it: ip xfrm policy add dir fwd src 172.16.1.0/24 dst ADDRESSES action allow priority 19", false}}},
		{"strict, with the route to a part elsewhere", func(f *Facts) {
			f.Host.Routes = append(f.Host.Routes, host.Route{Prefix: pre("172.16.1.128/25"), Link: "tun0", Table: 254})
		}, []want{{"reverse-path", Problem, "rp_filter is strict on hn-web, and the host's route to 172.16.1.0/24 leads out of tun0", "sysctl -w net.ipv4.conf.hn-web.rp_filter=2", true}}},
		{"strict, with the route elsewhere", func(f *Facts) { f.Host.Routes[2].Link = "wlan0" },
			[]want{{"reverse-path", Problem, "rp_filter is strict on hn-web, and the host's route to 172.16.1.0/24 leads out of wlan0", "sysctl -w net.ipv4.conf.hn-web.rp_filter=2", true}}},
		{"strict for all", func(f *Facts) {
			f.Host.Routes[2].Link = "wlan0"
			f.Host.Sysctls["net/ipv4/conf/all/rp_filter"], f.Host.Sysctls["net/ipv4/conf/hn-web/rp_filter"] = "1", "0"
		}, []want{{"reverse-path", Problem, "rp_filter is strict on hn-web, and the host's route to 172.16.1.0/24 leads out of wlan0", "sysctl -w net.ipv4.conf.hn-web.rp_filter=2", true}}},
		{"loose, with the route elsewhere", func(f *Facts) {
			f.Host.Routes[2].Link, f.Host.Sysctls["net/ipv4/conf/hn-web/rp_filter"] = "wlan0", "2"
		}, nil},
		{"a link that is left", func(f *Facts) {
			without(f)
			f.Host.Links = append(f.Host.Links, host.Link{Name: "hn-old", Alias: host.Owner})
		}, []want{{"daemon", Problem, "the daemon is not running", "hostnat daemon", false},
			{"leftover", Warning, "link hn-old is hostnat's and belongs to no network or endpoint", "ip link del hn-old", true}}},
		{"the same, but perhaps of another configuration", func(f *Facts) {
			without(f)
			f.HasConfig = false
			f.Host.Links = append(f.Host.Links, host.Link{Name: "hn-old", Alias: host.Owner})
		}, []want{{"daemon", Problem, "the daemon is not running", "hostnat daemon", false},
			{"leftover", Warning, "link hn-old is hostnat's and belongs to no network or endpoint", "hostnat down", false}}},
		{"an address that is left", func(f *Facts) { without(f); f.Host.Links[5].Lent[0] = pre("172.16.9.1/24") },
			[]want{{"daemon", Problem, "the daemon is not running", "hostnat daemon", false},
				{"leftover", Warning, "bridge br0 has the address 172.16.9.1/24, which hostnat gave it and no network wants", "ip address del 172.16.9.1/24 dev br0", true}}},
		{"leftovers that the daemon is about to take", func(f *Facts) { f.Host.Links = append(f.Host.Links, host.Link{Name: "hn-old", Alias: host.Owner}) }, nil},
		{"iptables-legacy", func(f *Facts) { f.Host.LegacyTables = []string{"filter", "nat"} },
			[]want{{"iptables-legacy", Note, "iptables-legacy has tables: filter, nat", "iptables-legacy -S FORWARD; iptables-legacy -t nat -S", false}}},
		{"another DHCP server", func(f *Facts) {
			f.Host.Listeners = append(f.Host.Listeners, model.Listener{Program: "dnsmasq", PID: 9, Protocol: model.UDP, Address: netip.MustParseAddrPort("[::]:67")})
		}, []want{{"dhcp-servers", Warning, "dnsmasq (pid 9) listens on the DHCP server's port ([::]:67)",
			"keep it off the bridges of hostnat (dnsmasq: except-interface=hn-*), or end it: kill 9", false}}},
		{"a DHCP server of another bridge", func(f *Facts) {
			f.Host.Listeners = append(f.Host.Listeners, model.Listener{Program: "dnsmasq", PID: 9, Protocol: model.UDP, Address: netip.MustParseAddrPort("0.0.0.0:67"), Interface: "virbr0"})
		}, nil},
		{"a DHCP server of our bridge", func(f *Facts) {
			f.Host.Listeners = append(f.Host.Listeners, model.Listener{Program: "dnsmasq", PID: 9, Protocol: model.UDP, Address: netip.MustParseAddrPort("0.0.0.0:67"), Interface: "br0"})
		}, []want{{"dhcp-servers", Warning, "dnsmasq (pid 9) listens on the DHCP server's port (0.0.0.0:67 on br0)",
			"keep it off the bridges of hostnat (dnsmasq: except-interface=hn-*), or end it: kill 9", false}}},
		{"port 53 on all addresses", func(f *Facts) { f.Host.Listeners[1].Address = netip.MustParseAddrPort("0.0.0.0:53") },
			[]want{{"dns-port", Warning, "dnsmasq (pid 8) listens on udp 0.0.0.0:53, which takes the networks' gateways in",
				"have it listen on the addresses that it is for (dnsmasq: bind-interfaces, unbound: interface:)", false}}},
		{"port 53 on a gateway", func(f *Facts) {
			f.Host.Listeners[1] = model.Listener{Program: "named", Protocol: model.TCP, Address: netip.MustParseAddrPort("172.16.1.1:53")}
		},
			[]want{{"dns-port", Warning, "named listens on tcp 172.16.1.1:53, which takes the networks' gateways in",
				"have it listen on the addresses that it is for (dnsmasq: bind-interfaces, unbound: interface:)", false}}},
		{"one resolver of two", func(f *Facts) {
			f.Host.Resolvers = append(f.Host.Resolvers, examine.Resolver{Address: netip.MustParseAddr("192.0.2.54"), Failure: "no answer within 1.5s"})
		}, []want{{"resolvers", Warning, "the name server 192.0.2.54 does not answer: no answer within 1.5s", "fix or remove it in /etc/resolv.conf (resolvectl status, where systemd-resolved has it)", false}}},
		{"no resolver", func(f *Facts) { f.Host.Resolvers[0].Failure = "connection refused" },
			[]want{{"resolvers", Problem, "the name server 192.0.2.53 does not answer: connection refused", "fix or remove it in /etc/resolv.conf (resolvectl status, where systemd-resolved has it)", false}}},
		{"table nearly full", func(f *Facts) { f.Daemon.Counters.Sessions = 80 },
			[]want{{"tables", Warning, "the session table has 80 of 100 sessions", "hostnat session list | less, then hostnat session delete or shorter timeouts by hostnat nat set", false}}},
		{"a network that is full", func(f *Facts) { f.Config.Networks[0].Subnets = []netip.Prefix{pre("172.16.1.0/30")} },
			[]want{{"addresses", Note, "network web (172.16.1.0/30) has no address left", "hostnat network renumber web --subnet PREFIX, a larger one", false}}},
		{"a network that is full of others", func(f *Facts) {
			a := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 1, last}) }
			f.Config.Networks[0].Subnets, f.Config.Networks[0].Exclude = []netip.Prefix{pre("172.16.1.0/28")}, []model.AddressRange{{Low: a(2), High: a(11)}}
			f.Config.Reservations = []model.Reservation{{Network: "web", Name: "x", Address: a(12)}}
			f.Config.Leases = []model.Lease{{Network: "web", Address: a(13)}, {Network: "lan", Address: a(14)}}
			f.Config.Discovered = []model.Endpoint{{Network: "web", Addresses: []netip.Addr{a(13)}}, {Network: "web", Addresses: []netip.Addr{a(14)}}}
		}, []want{{"addresses", Note, "network web (172.16.1.0/28) has no address left", "hostnat network renumber web --subnet PREFIX, a larger one", false}}},
		{"a network with one left", func(f *Facts) {
			f.Config.Networks[0].Subnets = []netip.Prefix{pre("172.16.1.0/29")}
			f.Config.Networks[0].Exclude = []model.AddressRange{{Low: netip.MustParseAddr("172.16.1.3"), High: netip.MustParseAddr("172.16.1.5")}}
		}, nil},
		{"a range that is used up", func(f *Facts) {
			a := netip.MustParseAddr("172.16.1.9")
			f.Config.Networks[0].Ranges, f.Config.Leases = []model.AddressRange{{Low: a, High: a}}, []model.Lease{{Network: "web", Address: a}}
		}, []want{{"addresses", Note, "the range of network web for DHCP clients is used up", "hostnat network set web range=LO-HI, a larger one, or all", false}}},
		{"as many neighbours as there is place for", func(f *Facts) { f.addEndpoints("web", 1022, model.KindTAP) }, nil},
		{"too many neighbours", func(f *Facts) { f.addEndpoints("web", 1023, model.KindTAP) },
			[]want{{"neighbours", Warning, "the kernel has place for 1024 neighbours (net.ipv4.neigh.default.gc_thresh3), and 1024 endpoints may need 1025 at once",
				"echo net.ipv4.neigh.default.gc_thresh3=4096 > /etc/sysctl.d/60-neighbours.conf && sysctl -p /etc/sysctl.d/60-neighbours.conf", true}}},
		{"too many neighbours in namespaces, noticed before", func(f *Facts) {
			f.Host.NeighboursRefused = 7
			f.addEndpoints("web", 511, model.KindNetns)
			f.addEndpoints("web", 1, model.KindTAP)
		},
			[]want{{"neighbours", Warning, "the kernel has place for 1024 neighbours (net.ipv4.neigh.default.gc_thresh3), and 513 endpoints may need 1025 at once; " +
				"there was none left 7 times since the machine started",
				"echo net.ipv4.neigh.default.gc_thresh3=4096 > /etc/sysctl.d/60-neighbours.conf && sysctl -p /etc/sysctl.d/60-neighbours.conf", true}}},
		{"many endpoints in one namespace", func(f *Facts) {
			f.addEndpoints("web", 1000, model.KindNetns)
			for i := range f.Config.Endpoints {
				f.Config.Endpoints[i].Target = "router"
			}
		}, nil},
		{"many endpoints of a per-endpoint network, which are pinned", func(f *Facts) {
			f.addEndpoints("snap", 2000, model.KindTAP)
			f.Config.Networks = append(f.Config.Networks, model.Network{Name: "snap", ID: 9, Type: model.TypePerEndpoint, Compartment: model.EachCompartment, Subnets: []netip.Prefix{pre("172.16.3.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.3.1")}})
		}, nil},
		{"many neighbours, where the limit is not to be seen", func(f *Facts) {
			f.addEndpoints("web", 2000, model.KindTAP)
			delete(f.Host.Sysctls, "net/ipv4/neigh/default/gc_thresh3")
		}, nil},
		{"events lost", func(f *Facts) { f.Daemon.Counters.EventsLost = 3 }, []want{{"events", Note, "3 events were not delivered", "", false}}},
		{"conntrack full", func(f *Facts) { f.Host.Sysctls["net/netfilter/nf_conntrack_count"] = "950" },
			[]want{{"conntrack", Note, "the host's conntrack table has 950 of 1000 entries", "sysctl -w net.netfilter.nf_conntrack_max=2000", false}}},
		{"forwarding", func(f *Facts) { f.Host.Sysctls["net/ipv4/ip_forward"] = "1" },
			[]want{{"forwarding", Note, "the host forwards packets (net.ipv4.ip_forward is 1)", "sysctl -w net.ipv4.ip_forward=0", false}}},
		{"BPF for all", func(f *Facts) { f.Host.Sysctls["kernel/unprivileged_bpf_disabled"] = "0" },
			[]want{{"unprivileged-bpf", Note, "every user may load BPF programs (kernel.unprivileged_bpf_disabled is 0)", "sysctl -w kernel.unprivileged_bpf_disabled=2", false}}},
		{"no rights", func(f *Facts) { f.Root = false; f.Host.Unread = []string{"the firewall: operation not permitted"} },
			[]want{{"unread", Note, "doctor runs without root's rights and sees only part of the host", "sudo hostnat doctor", false},
				{"unread", Note, "not looked at: the firewall: operation not permitted", "", false}}},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		for _, w := range tt.want {
			seen[w.check] = true
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := healthy()
			tt.spoil(&f)
			var got []want
			for _, found := range Run(f) {
				if found.Why == "" {
					t.Errorf("no reason why %q matters", found.What)
				}
				got = append(got, want{found.Check, found.Severity, found.What, found.Command, found.Fixable})
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, inFirewallTest := range []string{"bridged-frames", "host-services", "nat-rules"} {
		seen[inFirewallTest] = true
	}
	for _, c := range checks {
		if !seen[c.name] || c.looks == "" {
			t.Errorf("check %s has no case here, or does not say what it looks at", c.name)
		}
	}
}

// TestEmptyFacts: a host of which nothing could be read makes no check fall over.
func TestEmptyFacts(t *testing.T) {
	t.Parallel()
	found := Run(Facts{})
	if !Faulty(found) {
		t.Error("nothing is wrong where there is nothing")
	}
	for _, f := range found {
		if f.Fixable {
			t.Errorf("to be fixed, with nothing known: %s", f.What)
		}
	}
	if Faulty([]Finding{{Severity: Note}, {Severity: Problem, Fixed: "done"}}) {
		t.Error("notes and what was fixed are no faults")
	}
	if fmt.Sprint(Faulty([]Finding{{Severity: Warning}})) != "true" {
		t.Error("a warning is a fault")
	}
}

func rule(priority, table int, from string) host.RoutingRule {
	return host.RoutingRule{Priority: priority, Table: table, In: from, Ours: table == host.InsideTable}
}
