package foreign

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

const (
	printedNAT = `

Name                             : VmNAT
ExternalIPInterfaceAddressPrefix :
InternalIPInterfaceAddressPrefix : 172.30.30.0/30
IcmpQueryTimeout                 : 30
TcpEstablishedConnectionTimeout  : 1800
TcpTransientConnectionTimeout    : 120
TcpFilteringBehavior             : AddressDependentFiltering
UdpFilteringBehavior             : EndpointIndependentFiltering
UdpIdleSessionTimeout            : 120
UdpInboundRefresh                : False
Store                            : Local
Active                           : True

`
	printedMapping = `StaticMappingID               : 0
NatName                       : VmNAT
Protocol                      : TCP
RemoteExternalIPAddressPrefix : 198.51.100.0/24
ExternalIPAddress             : 0.0.0.0
ExternalPort                  : 80
InternalIPAddress             : 172.30.30.2
InternalPort                  : 8080
InternalRoutingDomainId       : {00000000-0000-0000-0000-000000000000}
Active                        : True
`
)

func windows(change func(*wanted.NAT)) wanted.NAT {
	n := wanted.NAT{Name: "VmNAT", Profile: "winnat", UDPInboundRefresh: "off",
		Timeouts:     wanted.Timeouts{UDP: "120", TCPEstablished: "1800", TCPTransitory: "120", ICMP: "30"},
		TCPFiltering: "address-dependent", UDPFiltering: "endpoint-independent"}
	if change != nil {
		change(&n)
	}
	return n
}

func TestRead(t *testing.T) {
	t.Parallel()
	small := wanted.Network{Name: "VmNAT", NAT: "VmNAT", Subnets: []string{"172.30.30.0/30"}}
	for _, tt := range []struct {
		name, kind, in string
		want           Proposal
	}{
		{"printed, with the line ends of Windows", "netnat", "\ufeff" + strings.ReplaceAll(printedNAT+printedMapping, "\n", "\r\n"), Proposal{Objects: wanted.Objects{
			NATs: []wanted.NAT{windows(nil)}, Networks: []wanted.Network{small},
			Mappings: []wanted.Mapping{{Protocol: "tcp", External: "80", Internal: []string{"172.30.30.2:8080"}, Network: "VmNAT", From: []string{"198.51.100.0/24"}}},
		}}},
		{"JSON, an object and a list", "netnat", `{"Name":"VmNAT","ExternalIPInterfaceAddressPrefix":null,"InternalIPInterfaceAddressPrefix":"172.30.30.0/30","IcmpQueryTimeout":30,
			"TcpEstablishedConnectionTimeout":1800,"TcpTransientConnectionTimeout":120,"TcpFilteringBehavior":1,"UdpFilteringBehavior":0,"UdpIdleSessionTimeout":120,"UdpInboundRefresh":false}
			[{"ExternalAddressID":0,"NatName":"VmNAT","IPAddress":"203.0.113.5/32","PortStart":5000,"PortEnd":49151},
			 {"StaticMappingID":1,"NatName":"VmNAT","Protocol":17,"RemoteExternalIPAddressPrefix":"0.0.0.0/0","ExternalIPAddress":"203.0.113.5","ExternalPort":53,"InternalIPAddress":"172.30.30.2","InternalPort":0}]`,
			Proposal{Objects: wanted.Objects{
				NATs:     []wanted.NAT{windows(func(n *wanted.NAT) { n.ExternalAddresses = []string{"203.0.113.5:5000-49151"} })},
				Networks: []wanted.Network{small},
				Mappings: []wanted.Mapping{{Protocol: "udp", External: "203.0.113.5:53", Internal: []string{"172.30.30.2:53"}, Network: "VmNAT"}},
			}}},
		{"HNS: the prefix has the gateway, the name is long", "netnat", "Name : ICS 1\nInternalIPInterfaceAddressPrefix : 172.24.240.1/20\nExternalIPInterfaceAddressPrefix : 203.0.113.0/24\n", Proposal{Objects: wanted.Objects{
			NATs:     []wanted.NAT{{Name: "ICS-1", Profile: "winnat"}},
			Networks: []wanted.Network{{Name: "ICS-1", NAT: "ICS-1", Subnets: []string{"172.24.240.0/20"}, Gateways: []string{"172.24.240.1"}}},
		}, Notes: []string{"NAT ICS-1 was bound to the interface that has an address in 203.0.113.0/24: give it externalInterfaces or externalAddresses."}}},
		{"a mapping without its NAT", "netnat", printedMapping, Proposal{Objects: wanted.Objects{
			Mappings: []wanted.Mapping{{Protocol: "tcp", External: "80", Internal: []string{"172.30.30.2:8080"}, From: []string{"198.51.100.0/24"}}},
		}, Notes: []string{"tcp 80 leads to 172.30.30.2, which is in no network of the file: hostnat refuses such a mapping until there is one."}}},

		{"netsh show all", "portproxy", `
Listen on ipv4:             Connect to ipv4:

Address         Port        Address         Port
--------------- ----------  --------------- ----------
0.0.0.0         8080        172.20.1.5      80
203.0.113.1     2222        web.example     22

Listen on ipv6:             Connect to ipv4:

Address         Port        Address         Port
--------------- ----------  --------------- ----------
*               8081        172.20.1.5      80
2001:db8::1     443         172.20.1.5      443
`, Proposal{Objects: wanted.Objects{Proxies: []wanted.Proxy{
			{Kind: "v4tov4", Listen: "8080", Connect: "172.20.1.5:80"}, {Kind: "v4tov4", Listen: "203.0.113.1:2222", Connect: "web.example:22"},
			{Kind: "v6tov4", Listen: "8081", Connect: "172.20.1.5:80"}, {Kind: "v6tov4", Listen: "[2001:db8::1]:443", Connect: "172.20.1.5:443"},
		}}}},
		{"netsh dump", "portproxy", "#========================\n# Port Proxy configuration\n#========================\npushd interface portproxy\n\nreset\n" +
			"add v4tov6 listenport=80 connectaddress=2001:db8::5\nset v4tov4 listenaddress=203.0.113.1 listenport=30000-50000 connectaddress=10.0.0.1 connectport=30000-50000 protocol=tcp\n\npopd\n",
			Proposal{Objects: wanted.Objects{Proxies: []wanted.Proxy{
				{Kind: "v4tov6", Listen: "80", Connect: "[2001:db8::5]:80"}, {Kind: "v4tov4", Listen: "203.0.113.1:30000-50000", Connect: "10.0.0.1:30000-50000"},
			}}, Notes: []string{"Windows keeps the range 30000-50000 and does not serve it; hostnat serves each port."}}},

		{"libvirt's default, and a closed one", "libvirt", `<network>
  <name>default</name>
  <uuid>9a05da11-e96b-47f3-8253-a3a482e445f5</uuid>
  <forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mtu size='1400'/>
  <mac address='52:54:00:0a:cd:21'/>
  <domain name='lan.example'/>
  <ip address='192.168.122.1' netmask='255.255.254.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
      <host mac='52:54:00:12:34:56' name='db' ip='192.168.122.9'/>
      <host name='www' ip='192.168.122.10'/>
      <host mac='52:54:00:12:34:57' name='x'/>
      <bootp file='pxelinux.0'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='2001:db8::1' prefix='64'/>
</network>
<network><name>closed</name><ip address='10.1.0.1' prefix='16'/></network>
<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>`, Proposal{Objects: wanted.Objects{
			Networks: []wanted.Network{
				{Name: "default", Subnets: []string{"192.168.122.0/23"}, Gateways: []string{"192.168.122.1"}, Ranges: []string{"192.168.122.2-192.168.122.254"}, Domain: "lan.example", MTU: "1400", PXE: wanted.PXE{BootFile: "pxelinux.0"}},
				{Name: "closed", NAT: "none", DHCP: "off", Subnets: []string{"10.1.0.0/16"}, Gateways: []string{"10.1.0.1"}},
			},
			Reservations: []wanted.Reservation{{Network: "default", MAC: "52:54:00:12:34:56", Address: "192.168.122.9"}, {Network: "default", Name: "www", Address: "192.168.122.10"}},
		}, Notes: []string{
			"Host 52:54:00:12:34:57x of network default has a name alone: a client gives its name itself.",
			"Network default has 2001:db8::1: networks have no IPv6 yet.",
			"Network lan is left out: with forward mode bridge it is another's switch, not libvirt's.",
			"The subnets are libvirt's now: its networks have to go (virsh net-destroy) before hostnat can have them.",
		}}},

		{"Docker's networks and containers", "docker", `[
 {"Name":"bridge","Driver":"bridge","Internal":false,"IPAM":{"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]},"Options":{"com.docker.network.driver.mtu":"1500"}},
 {"Name":"shop","Driver":"bridge","Internal":true,"IPAM":{"Config":[{"Subnet":"172.18.0.0/16"},{"Subnet":"fd00::/64"}]},"Options":{"com.docker.network.bridge.enable_icc":"false"}},
 {"Name":"lan","Driver":"macvlan","IPAM":{"Config":[]}}, {"Name":"host","Driver":"host","IPAM":{"Config":[]}}]
[{"Name":"/c1","NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2"}},"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],
   "53/udp":[{"HostIp":"127.0.0.1","HostPort":"5353"}],"90/sctp":[{"HostIp":"0.0.0.0","HostPort":"90"}],"443/tcp":null}}},
 {"Name":"/down","NetworkSettings":{"Networks":{},"Ports":{}}}]`, Proposal{Objects: wanted.Objects{
			Networks: []wanted.Network{
				{Name: "bridge", Subnets: []string{"172.17.0.0/16"}, Gateways: []string{"172.17.0.1"}, MTU: "1500"},
				{Name: "shop", NAT: "none", Isolation: "endpoint", Subnets: []string{"172.18.0.0/16"}},
			},
			Mappings: []wanted.Mapping{
				{Protocol: "tcp", External: "8080", Internal: []string{"c1:80"}, Network: "bridge"},
				{Protocol: "udp", External: "127.0.0.1:5353", Internal: []string{"c1:53"}, Network: "bridge"},
			},
		}, Notes: []string{
			"Network shop has the subnet fd00::/64: networks have no IPv6 yet.",
			"Network lan is left out: its driver is macvlan.",
			"The subnets are Docker's now: its networks have to go before hostnat can have them.",
			"Port 90/sctp of c1 is left out.",
			"Mappings lead to endpoints: attach each container (hostnat endpoint attach NETWORK NAME --docker NAME). After 'hostnat docker enable' containers and their ports are followed, and need not be in a file.",
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Read(tt.kind, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, kind, in, want string }{
		{"unknown kind", "iptables", "", `"iptables" is none of docker, libvirt, netnat, portproxy`},
		{"nothing", "netnat", "\n", "nothing of netnat is in it"},
		{"a table", "netnat", "Name  Active\n----  ------\nVmNAT True\n", `line "Name  Active" is no 'Key : Value'`},
		{"half of JSON", "netnat", `{"Name":`, "read the JSON"},
		{"JSON of something else", "netnat", `[1]`, "neither an object nor a list of objects"},
		{"another protocol", "netnat", strings.Replace(printedMapping, "TCP", "GRE", 1), `protocol "GRE" is neither TCP nor UDP`},
		{"another filtering", "netnat", strings.Replace(printedNAT, "AddressDependentFiltering", "None", 1), `NAT VmNAT: filtering "None" is not known`},
		{"no prefix", "netnat", strings.Replace(printedNAT, "172.30.30.0/30", "x", 1), "NAT VmNAT: its internal prefix"},
		{"another command of netsh", "portproxy", "Port exclusion ranges on tcp\n", "is not understood"},
		{"no port", "portproxy", "add v4tov4 connectport=80\n", "says no listenport"},
		{"no XML", "libvirt", "<network>", "read the XML"},
		{"XML of a VM", "libvirt", "<domain/>", "nothing of libvirt is in it"},
		{"a netmask with a gap", "libvirt", "<network><name>x</name><ip address='10.0.0.1' netmask='255.0.255.0'/></network>", "network x: netmask 255.0.255.0 has a gap"},
		{"no JSON", "docker", "NETWORK ID\n", "read the JSON"},
		{"nothing of Docker", "docker", "[]", "nothing of docker is in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Read(tt.kind, tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Whatever comes in, it is refused or read, and no more.
func FuzzRead(f *testing.F) {
	for _, text := range []string{printedNAT, printedMapping, `[{"Name":"x"}]`, "<network/>", "add v4tov4 listenport=1"} {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		for _, kind := range Kinds() {
			_, _ = Read(kind, text)
		}
	})
}
