package event

// Reason is why the data path did not translate a packet. 0x00 to 0x19 are
// WinNAT's ActionReason numbers; hostnat's own begin at 0x40.
type Reason uint8

// WinNAT's reasons.
const (
	NoReason             Reason = 0x00
	ParseFailure         Reason = 0x01
	FirstFragmentOffset  Reason = 0x02
	ICMPErrorInvalid     Reason = 0x03
	ICMPErrorNoSession   Reason = 0x04
	NoHairpinNexthop     Reason = 0x05
	NoStaticMapping      Reason = 0x06
	NexthopReference     Reason = 0x07
	CloneFailure         Reason = 0x08
	TranslateFailure     Reason = 0x09
	HopLimit             Reason = 0x0a
	PacketTooBig         Reason = 0x0b
	RouteLookup          Reason = 0x0c
	NoRoute              Reason = 0x0d
	SessionNotCreated    Reason = 0x0e
	NotExternalInterface Reason = 0x0f
	NoNATOutside         Reason = 0x10
	HostIsInside         Reason = 0x11
	RoutableInside       Reason = 0x12
	ProtocolUnsupported  Reason = 0x13
	ForNATItself         Reason = 0x14
	NotInPool            Reason = 0x15
	MuxRejected          Reason = 0x16
	MuxNoConfig          Reason = 0x17
	MuxSendFailure       Reason = 0x18
	NoNATInside          Reason = 0x19
)

// hostnat's own reasons.
const (
	SpoofedSource            Reason = 0x40
	SessionTableFull         Reason = 0x41
	BindingTableFull         Reason = 0x42
	PortsExhausted           Reason = 0x43 // "out-of-ports"; event OutOfPorts has the name
	FilteredRemote           Reason = 0x44
	NoSession                Reason = 0x45
	IsolatedNetwork          Reason = 0x46
	UntranslatedInsideSource Reason = 0x47
	Malformed                Reason = 0x48
	RemoteNotAllowed         Reason = 0x49
	SessionClash             Reason = 0x4a
	InsideAddressFromOutside Reason = 0x4b
	FragmentUnsupported      Reason = 0x4c
	EndpointGone             Reason = 0x4d
	NoNAT                    Reason = 0x4e
	IPv6                     Reason = 0x4f
	EndpointLimit            Reason = 0x51
	RogueServer              Reason = 0x52
	SourceRoute              Reason = 0x53
	MartianDestination       Reason = 0x54
	LinkLocal                Reason = 0x55
	MappingIdle              Reason = 0x56
	RouteChanged             Reason = 0x50
	MACElsewhere             Reason = 0x58
	AddressElsewhere         Reason = 0x59
	PortLimit                Reason = 0x5a
	Encapsulated             Reason = 0x5b
	BridgeProtocol           Reason = 0x5c
	RogueRouter              Reason = 0x5d
	DHCPFlood                Reason = 0x5e
	UncheckedPort            Reason = 0x5f
	RouteBlackhole           Reason = 0x60
	RouteProhibited          Reason = 0x61
	RouteUnreachable         Reason = 0x62
	IPsecPolicy              Reason = 0x63
	TableBusy                Reason = 0x64
)

type reasonText struct{ name, description string }

var reasons = map[Reason]reasonText{
	NoReason:             {"none", "Nothing was wrong."},
	ParseFailure:         {"parse-failure", "The packet's headers could not be read."},
	FirstFragmentOffset:  {"first-fragment-offset", "A fragment came before the first one of its packet, so its ports are not known."},
	ICMPErrorInvalid:     {"icmp-error-invalid", "The packet quoted in an ICMP error could not be read."},
	ICMPErrorNoSession:   {"icmp-error-no-session", "The packet quoted in an ICMP error belongs to no session."},
	NoHairpinNexthop:     {"no-hairpin-nexthop", "An inside sender used an external address, and there is no next hop to turn its packet around."},
	NoStaticMapping:      {"no-static-mapping", "No static mapping lets this packet in."},
	NexthopReference:     {"nexthop-reference", "The next hop could not be held."},
	CloneFailure:         {"clone-failure", "The packet could not be copied or made writable."},
	TranslateFailure:     {"translate-failure", "Addresses or ports could not be rewritten."},
	HopLimit:             {"hop-limit", "The packet's TTL ran out here."},
	PacketTooBig:         {"packet-too-big", "The packet is larger than the next link's MTU and may not be fragmented."},
	RouteLookup:          {"route-lookup", "The route look-up failed."},
	NoRoute:              {"no-route", "There is no route to the destination."},
	SessionNotCreated:    {"session-not-created", "The session could not be created."},
	NotExternalInterface: {"not-external-interface", "The packet would leave through an interface that is not an outside interface of a NAT."},
	NoNATOutside:         {"no-nat-outside", "The packet would leave through an interface that its NAT does not use."},
	HostIsInside:         {"host-is-inside", "The host itself may not be an inside host."},
	RoutableInside:       {"routable-inside", "The destination is reached inside, without translation."},
	ProtocolUnsupported:  {"protocol-unsupported", "Only TCP, UDP and ICMP are translated."},
	ForNATItself:         {"for-nat-itself", "The packet is addressed to the NAT itself."},
	NotInPool:            {"not-in-pool", "The destination is in no external address and port range."},
	MuxRejected:          {"mux-rejected", "A load balancer in front refused the packet."},
	MuxNoConfig:          {"mux-no-config", "The load balancer in front has no configuration for this address."},
	MuxSendFailure:       {"mux-send-failure", "The packet could not be encapsulated for the load balancer."},
	NoNATInside:          {"no-nat-inside", "The packet came in on an interface that belongs to no NAT."},

	SpoofedSource:            {"spoofed-source", "An endpoint sent from a MAC or an address that is not its own."},
	SessionTableFull:         {"session-table-full", "The session table is full; sessions that exist live on."},
	BindingTableFull:         {"binding-table-full", "The binding table is full; bindings that exist live on."},
	PortsExhausted:           {"out-of-ports", "Every external port that the NAT may use is taken."},
	FilteredRemote:           {"filtered-remote", "The binding's filtering does not let this remote in."},
	NoSession:                {"no-session", "A TCP segment without SYN belongs to no session."},
	IsolatedNetwork:          {"isolated-network", "An endpoint sent to another network; networks are isolated from each other."},
	UntranslatedInsideSource: {"untranslated-inside-source", "A packet with an inside source was about to leave untranslated (leak guard)."},
	Malformed:                {"malformed", "The packet's lengths or flags contradict each other."},
	RemoteNotAllowed:         {"remote-not-allowed", "The static mapping is open to other remotes only."},
	SessionClash:             {"session-clash", "Another session has the same external address, port and remote."},
	InsideAddressFromOutside: {"inside-address-from-outside", "A packet from outside carries an inside address."},
	FragmentUnsupported:      {"fragment-unsupported", "This fragment cannot be translated."},
	EndpointGone:             {"endpoint-gone", "The endpoint that the packet is for is not attached any more."},
	NoNAT:                    {"no-nat", "The endpoint's network has no NAT with an external address."},
	IPv6:                     {"ipv6", "IPv6 is not translated yet; containers send a little of it by themselves."},
	RouteChanged:             {"route-changed", "The way out moved to an interface where the NAT does not have the session's external address; the session ended."},
	RouteBlackhole:           {"route-blackhole", "A route or rule of the host's is a blackhole for the packet."},
	RouteProhibited:          {"route-prohibited", "A route or rule of the host's prohibits the packet."},
	RouteUnreachable:         {"route-unreachable", "A route or rule of the host's says that the destination is unreachable, or the NAT's own table has no route."},
	IPsecPolicy:              {"ipsec", "An IPsec policy of the host's selects the packet, which would leave in clear."},
	TableBusy:                {"table-busy", "A table could not be written at that moment, though it is not full: the kernel was busy with it or had no memory at hand. The next packet tries again."},
	EndpointLimit:            {"endpoint-limit", "The endpoint has as many sessions, ports or new sessions a second as its NAT allows."},
	RogueServer:              {"rogue-server", "An endpoint answered as a DHCP server; the network has its own."},
	SourceRoute:              {"source-route", "The packet asks for a route of its sender's choice (IP source routing)."},
	MACElsewhere:             {"mac-elsewhere", "A frame at a plugged-in port carries a MAC that is at another port."},
	AddressElsewhere:         {"address-elsewhere", "Somebody at a plugged-in port speaks for an address that another MAC has."},
	PortLimit:                {"port-limit", "A plugged-in port has as many MACs or addresses as it may."},
	Encapsulated:             {"encapsulated", "A frame with a VLAN tag, LLC, MPLS or PPPoE header hides what is in it."},
	BridgeProtocol:           {"bridge-protocol", "An endpoint spoke as a bridge (spanning tree and its kind)."},
	RogueRouter:              {"rogue-router", "An endpoint advertised itself as an IPv6 router, or redirected others."},
	DHCPFlood:                {"dhcp-flood", "A machine sent more than 1,000 messages to DHCP servers within a second."},
	UncheckedPort:            {"unchecked-port", "A frame came by a port that was plugged into the bridge a moment ago and is not checked yet."},
	LinkLocal:                {"link-local", "An endpoint sent to 169.254.0.0/16 outside, where cloud providers have their metadata services; nat set NAME link-local=allow lets it."},
	MappingIdle:              {"mapping-idle", "A packet from outside is for a binding that the inside has not used for its timeout."},
	MartianDestination:       {"martian-destination", "An endpoint sent to an address that nobody has on a wire: loopback, 0.0.0.0/8 or 240.0.0.0/4."},
}

// String returns the reason's name, used for counters: "out-of-ports".
func (r Reason) String() string {
	if t, ok := reasons[r]; ok {
		return t.name
	}
	const hex = "0123456789abcdef"
	return "reason-0x" + string([]byte{hex[r>>4], hex[r&15]})
}

// Describe explains the reason in one sentence.
func (r Reason) Describe() string {
	if t, ok := reasons[r]; ok {
		return t.description
	}
	return "This version of hostnat does not know the reason."
}

// Describe explains a reason by its name.
func Describe(name string) string {
	r, _ := ParseReason(name)
	return r.Describe()
}

// ParseReason is the reverse of String, for those who read counters by name.
func ParseReason(name string) (Reason, bool) {
	for r, t := range reasons {
		if t.name == name {
			return r, true
		}
	}
	return 0, false
}
