package natmodel

// Reason is why a packet was dropped, by the name that users read.
type Reason string

// The reasons; docs/packet-flow.md says when.
const (
	NoMapping           Reason = "no-static-mapping"
	EndpointLimit       Reason = "endpoint-limit"
	FirstFragmentOffset Reason = "first-fragment-offset"
	ICMPErrorInvalid    Reason = "icmp-error-invalid"
	ICMPErrorNoSession  Reason = "icmp-error-no-session"
	HopLimit            Reason = "hop-limit"
	TooBig              Reason = "packet-too-big"
	NoExternalAddress   Reason = "no-nat-outside"
	Protocol            Reason = "protocol-unsupported"
	SpoofedSource       Reason = "spoofed-source"
	SessionsFull        Reason = "session-table-full"
	BindingsFull        Reason = "binding-table-full"
	OutOfPorts          Reason = "out-of-ports"
	Filtered            Reason = "filtered-remote"
	NoSession           Reason = "no-session"
	Isolated            Reason = "isolated-network"
	Untranslated        Reason = "untranslated-inside-source"
	Malformed           Reason = "malformed"
	RemoteNotAllowed    Reason = "remote-not-allowed"
	SessionClash        Reason = "session-clash"
	InsideFromOutside   Reason = "inside-address-from-outside"
	NoNAT               Reason = "no-nat"
	IPv6                Reason = "ipv6"
	RogueServer         Reason = "rogue-server"
	SourceRoute         Reason = "source-route"
	MartianDestination  Reason = "martian-destination"
	MACElsewhere        Reason = "mac-elsewhere"
	AddressElsewhere    Reason = "address-elsewhere"
	Encapsulated        Reason = "encapsulated"
	BridgeProtocol      Reason = "bridge-protocol"
	RogueRouter         Reason = "rogue-router"
	MappingIdle         Reason = "mapping-idle"
	LinkLocal           Reason = "link-local"
)
