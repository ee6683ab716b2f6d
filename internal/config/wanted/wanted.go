// Package wanted has what configuration files ask for, object by object, and says of
// an object that there is what a file would ask for.
package wanted

// Objects is what configuration files ask for, all of them together. Values are
// texts as people write them; a text that is empty and a list that is nil were not
// mentioned.
//
// Package configfile reads and writes these types by the fields' tags: "file" is
// the key; "doc" says what it is; "is" what the text stands for, for editors
// (integer, switch, or one of the words that stand there with "|" between); "set"
// is the key of SetNAT or SetNetwork that changes it, and "none" what that takes
// for an empty list.
type Objects struct {
	Pools        []Pool        `file:"pools" doc:"Where subnets are taken from for networks that name none. Without any: 172.16.0.0/12, 10.0.0.0/8, 192.168.0.0/16."`
	NATs         []NAT         `file:"nats" doc:"NATs. The one named default exists always."`
	Networks     []Network     `file:"networks" doc:"Networks: a switch, a subnet and the host's address on it."`
	Endpoints    []Endpoint    `file:"endpoints" doc:"What is attached to networks. What it is attached to may be absent: it is attached when it comes."`
	Reservations []Reservation `file:"reservations" doc:"Addresses that are kept for DHCP clients and endpoints."`
	Mappings     []Mapping     `file:"mappings" doc:"Published ports. In short: [[ADDRESS:]PORT:]ENDPOINT:PORT[/tcp|udp]."`
	Proxies      []Proxy       `file:"proxies" doc:"Port proxies: relays at the level of sockets."`

	Sections []Section // that files mention
}

// Section is a list in a file: of the objects of its kind that have its owner,
// those that the files do not mention are those that Prune deletes.
type Section struct{ Kind, Owner string }

// Pool is a pool.
type Pool struct {
	Place
	Prefix string `file:"prefix" doc:"The prefix." is:"needed"`
	Size   string `file:"size" doc:"Prefix length of the subnets: 24 unless given." is:"integer"`
}

// NAT is a NAT.
type NAT struct {
	Place
	Name               string            `file:"name" doc:"The NAT's name." is:"needed"`
	ExternalInterfaces []string          `file:"externalInterfaces" doc:"Use the addresses of these interfaces alone; none: of whichever the host's routes choose." set:"external-interface" none:"any"`
	ExternalAddresses  []string          `file:"externalAddresses" doc:"A or A:LO-HI: external addresses, with the ports that may be used on them. One that the host does not have is added to it."`
	Profile            string            `file:"profile" doc:"Timeouts, filtering and hold-down at once, for those that are not given." is:"rfc|winnat"`
	Timeouts           Timeouts          `file:"timeouts" doc:"After how long without traffic sessions end: seconds, or as in 5m."`
	TCPFiltering       string            `file:"tcpFiltering" doc:"Which remotes may send to a TCP port that an endpoint uses." is:"endpoint-independent|address-dependent|address-and-port-dependent" set:"tcp-filtering"`
	UDPFiltering       string            `file:"udpFiltering" doc:"The same for UDP." is:"endpoint-independent|address-dependent|address-and-port-dependent" set:"udp-filtering"`
	UDPInboundRefresh  string            `file:"udpInboundRefresh" doc:"Packets from outside keep a UDP session alive too." is:"switch" set:"udp-inbound-refresh"`
	Pooling            string            `file:"pooling" doc:"Whether an endpoint keeps to one of several external addresses." is:"paired|arbitrary" set:"pooling"`
	EndpointDependent  string            `file:"endpointDependent" doc:"Go on with one port for several remotes when all are used." is:"switch" set:"endpoint-dependent"`
	HoldDown           string            `file:"holdDown" doc:"A freed UDP port or ICMP identifier stays unused: seconds, or as in 2m." is:"duration" set:"hold-down"`
	Limits             Limits            `file:"limits" doc:"What one endpoint may have at a time. 0: no limit."`
	MSSClamp           string            `file:"mssClamp" doc:"Lower TCP's segment size to what the way out carries." is:"switch" set:"mss-clamp"`
	Exhaustion         string            `file:"exhaustion" doc:"What a sender is told for whom no port is left." is:"prohibited|unreachable|silent" set:"exhaustion"`
	LinkLocal          string            `file:"linkLocal" doc:"Whether endpoints reach 169.254.0.0/16 outside, where clouds have metadata services." is:"refuse|allow" set:"link-local"`
	Table              string            `file:"table" doc:"The number of the routing table by which everything leaves; none: the host's rules decide." is:"integer" set:"table"`
	Labels             map[string]string `file:"labels" doc:"Notes: keys and values."`
	Owner              string            `file:"owner" doc:"The program that it belongs to."`
}

// Timeouts are idle lifetimes.
type Timeouts struct {
	UDP            string `file:"udp" doc:"Of a UDP session." is:"duration" set:"udp-timeout"`
	TCPEstablished string `file:"tcpEstablished" doc:"Of an open connection." is:"duration" set:"tcp-established-timeout"`
	TCPTransitory  string `file:"tcpTransitory" doc:"Of a connection that is being opened or closed." is:"duration" set:"tcp-transitory-timeout"`
	ICMP           string `file:"icmp" doc:"Of a ping." is:"duration" set:"icmp-timeout"`
}

// Limits are what one endpoint may have.
type Limits struct {
	Sessions string `file:"sessions" doc:"Sessions." is:"integer" set:"max-sessions"`
	Ports    string `file:"ports" doc:"External ports, all protocols together." is:"integer" set:"max-ports"`
	Rate     string `file:"rate" doc:"New sessions a second." is:"integer" set:"max-rate"`
}

// Network is a network.
type Network struct {
	Place
	Name         string            `file:"name" doc:"The network's name." is:"needed"`
	Type         string            `file:"type" doc:"The type; else it follows from nat and compartment." is:"nat|internal|per-endpoint"`
	NAT          string            `file:"nat" doc:"The NAT that it is behind: default unless given; none: its endpoints do not reach the outside."`
	Compartment  string            `file:"compartment" doc:"The compartment. In two of them the same addresses may be used."`
	Subnets      []string          `file:"subnets" doc:"The subnet. Not given: a free one is chosen, or that which it has stays. Another one moves the network with all that is in it."`
	Gateways     []string          `file:"gateways" doc:"The host's address in the subnet: the first one unless given."`
	Bridge       string            `file:"bridge" doc:"Link name of the switch."`
	Adopt        string            `file:"adopt" doc:"The bridge is somebody else's: it is there before and stays after." is:"switch"`
	Domain       string            `file:"domain" doc:"The domain that endpoints' names are in: NAME.internal unless given." set:"domain"`
	Overlap      string            `file:"overlap" doc:"What to do when the host's own network comes to overlap the subnet." is:"keep|renumber" set:"overlap"`
	Isolation    string            `file:"isolation" doc:"Off: open to other networks with off; endpoint: not even its own endpoints reach each other." is:"on|off|endpoint" set:"isolation"`
	PortSecurity string            `file:"portSecurity" doc:"Whether what other tools plug into the bridge is checked." is:"on|off" set:"port-security"`
	DHCP         string            `file:"dhcp" doc:"Whether clients get addresses by DHCP." is:"on|off" set:"dhcp"`
	DNS          string            `file:"dns" doc:"Whether the gateway answers for names." is:"on|off" set:"dns"`
	LeaseTime    string            `file:"leaseTime" doc:"How long a client has its address: seconds, or as in 1h." is:"duration" set:"lease-time"`
	MTU          string            `file:"mtu" doc:"Bytes; auto follows the outgoing interface." is:"integer|auto" set:"mtu"`
	NTP          []string          `file:"ntp" doc:"Time servers that clients are told." set:"ntp" none:"none"`
	PXE          PXE               `file:"pxe" doc:"What machines are told that boot from the network."`
	Routes       []string          `file:"routes" doc:"PREFIX=GATEWAY: further routes that clients are told." set:"routes" none:"none"`
	Ranges       []string          `file:"ranges" doc:"LO-HI: clients get addresses from here; none: from the whole subnet." set:"range" none:"all"`
	Exclude      []string          `file:"exclude" doc:"LO-HI: never given out unless asked for." set:"exclude" none:"none"`
	Labels       map[string]string `file:"labels" doc:"Notes: keys and values."`
	Owner        string            `file:"owner" doc:"The program that it belongs to."`
}

// PXE is what DHCP tells a machine that boots from the network.
type PXE struct {
	NextServer string `file:"nextServer" doc:"Address of the machine that has the boot file; none: the gateway's." set:"pxe-next-server"`
	ServerName string `file:"serverName" doc:"Name of the TFTP server, option 66; none: nextServer's address." set:"pxe-server-name"`
	BootFile   string `file:"bootFile" doc:"The boot file, option 67; none: there is none." set:"pxe-boot-file"`
}

// Endpoint is an endpoint. One of Netns, PID, TAP and Port says to what it
// is attached; Netns and TAP together with Create.
type Endpoint struct {
	Place
	Name      string            `file:"name" doc:"The endpoint's name: one on the whole host." is:"needed"`
	Network   string            `file:"network" doc:"The network that it is in." is:"needed"`
	Netns     string            `file:"netns" doc:"Attach a namespace: its name, or an absolute path."`
	PID       string            `file:"pid" doc:"Attach the namespace of a process. Never in an export: process ids do not last." is:"integer"`
	TAP       string            `file:"tap" doc:"Attach a TAP link that a VM monitor holds."`
	Create    string            `file:"create" doc:"Make the TAP, and delete it with the endpoint; with netns, inside that." is:"switch"`
	User      string            `file:"user" doc:"Of a TAP that is made: the user, by name or number, who may open it; else root alone."`
	Group     string            `file:"group" doc:"Likewise the group."`
	Queues    string            `file:"queues" doc:"Of a TAP that is made: how many queues a VM monitor may open." is:"integer"`
	VNetHdr   string            `file:"vnetHdr" doc:"Of a TAP that is made: frames have a virtio header unless who opens it says otherwise." is:"switch"`
	Port      string            `file:"port" doc:"Attach any other link of the host."`
	Addresses []string          `file:"addresses" doc:"Its address. Not given: a free one is chosen, or that which it has stays."`
	MAC       string            `file:"mac" doc:"Its Ethernet address. Not given: one that follows from its address."`
	IfName    string            `file:"ifname" doc:"Link name inside the namespace: eth0 unless given."`
	Aliases   []string          `file:"aliases" doc:"Further names in DNS."`
	Allow     []string          `file:"allow" doc:"Further addresses and prefixes that it may send from and is reached at; 0.0.0.0/0: it forwards for its neighbours."`
	Labels    map[string]string `file:"labels" doc:"Notes: keys and values."`
	Owner     string            `file:"owner" doc:"The program that it belongs to."`
}

// Reservation is a reservation, for a MAC or a name.
type Reservation struct {
	Place
	Network string            `file:"network" doc:"The network that the address is of." is:"needed"`
	Address string            `file:"address" doc:"The address." is:"needed"`
	MAC     string            `file:"mac" doc:"Whose Ethernet address it is kept for; or name."`
	Name    string            `file:"name" doc:"Whose name it is kept for: an endpoint's, or the hostname that a DHCP client gives."`
	Labels  map[string]string `file:"labels" doc:"Notes: keys and values."`
	Owner   string            `file:"owner" doc:"The program that it belongs to."`
}

// Mapping is a mapping. It is known by its protocol and its external side;
// where that is not mentioned, by what it leads to.
type Mapping struct {
	Place
	Protocol string            `file:"protocol" doc:"The protocol: tcp unless given; any maps a whole address." is:"tcp|udp|any"`
	External string            `file:"external" doc:"[ADDRESS:]PORT or [ADDRESS:]LO-HI; an address alone for protocol any. Not given: a free port is chosen once."`
	Internal []string          `file:"internal" doc:"ENDPOINT:PORT, ADDRESS:PORT or NETWORK/ENDPOINT:PORT; of several, each new session goes to one." is:"needed"`
	Network  string            `file:"network" doc:"The network of internal. Needed for an address that several networks have, and for an endpoint that is not attached now."`
	Clients  map[string]string `file:"clients" doc:"For DHCP clients that internal names: the Ethernet address by which they are known."`
	From     []string          `file:"from" doc:"Let only these prefixes in."`
	Force    string            `file:"force" doc:"Take the port even if a program of the host listens there." is:"switch"`
	Labels   map[string]string `file:"labels" doc:"Notes: keys and values."`
	Owner    string            `file:"owner" doc:"The program that it belongs to."`
}

// Proxy is a port proxy. It is known by its protocol and what it listens on.
type Proxy struct {
	Place
	Kind          string            `file:"kind" doc:"Which kinds of addresses it joins, or name: the client names the host it wants." is:"v4tov4|v4tov6|v6tov4|v6tov6|name needed"`
	Protocol      string            `file:"protocol" doc:"The protocol: tcp unless given." is:"tcp|udp"`
	Listen        string            `file:"listen" doc:"[HOST:]PORT or [HOST:]LO-HI; HOST is an address, a name, or * for every address." is:"needed"`
	Connect       string            `file:"connect" doc:"HOST:PORT or HOST:LO-HI; HOST is an address, an endpoint or a name. Not for kind name."`
	Routes        []string          `file:"routes" doc:"NAME=HOST:PORT, for kind name; *=HOST:PORT for every other name."`
	ProxyProtocol string            `file:"proxyProtocol" doc:"Tell the server who the client is, by a PROXY protocol version 2 header." is:"switch"`
	Transparent   string            `file:"transparent" doc:"The server sees the client's address as the source; for kind name." is:"switch"`
	Labels        map[string]string `file:"labels" doc:"Notes: keys and values."`
	Owner         string            `file:"owner" doc:"The program that it belongs to."`
}
