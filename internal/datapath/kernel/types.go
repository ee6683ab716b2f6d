// Package kernel is what the BPF programs and their tables are to user space:
// the object file, its types as bpf2go makes them, and each program that user
// space runs by itself.
package kernel

import "github.com/cilium/ebpf"

// The types of bpf/types.h.
type (
	AllowedKey      = bpfAllowedKey
	Binding         = bpfBinding
	BindingFlags    = bpfBindingFlags
	BindingIndexKey = bpfBindingIndexKey
	BindingKey      = bpfBindingKey
	Claim           = bpfClaim
	EarlyQuestion   = bpfEarlyQuestion

	Delivery         = bpfDelivery
	DependentPort    = bpfDependentPort
	DependentPortKey = bpfDependentPortKey
	DropRecord       = bpfDropRecord
	EndCause         = bpfEndCause
	EndRecord        = bpfEndRecord
	EndRequest       = bpfEndRequest
	Endpoint         = bpfEndpoint
	EndpointKey      = bpfEndpointKey
	ErrorBudget      = bpfErrorBudget
	Event            = bpfEvent
	EventId          = bpfEventId
	Exhaustion       = bpfExhaustion
	FilterEntry      = bpfFilterEntry
	FilterKey        = bpfFilterKey
	Filtering        = bpfFiltering
	Flow             = bpfFlow
	Fragment         = bpfFragment
	FragmentKey      = bpfFragmentKey

	IndexRequest   = bpfIndexRequest
	HostAddress    = bpfHostAddress
	IpsecPolicy    = bpfIpsecPolicy
	RouteMtuKey    = bpfRouteMtuKey
	Holder         = bpfHolder
	HostPortKey    = bpfHostPortKey
	Inside         = bpfInside
	InsideRangeKey = bpfInsideRangeKey
	Lease          = bpfLease
	Load           = bpfLoad
	LoadKey        = bpfLoadKey
	Mapping        = bpfMapping
	Mark           = bpfMark
	Nat            = bpfNat
	Network        = bpfNetwork
	NetworkFlags   = bpfNetworkFlags
	Objects        = bpfObjects
	OneToOne       = bpfOneToOne
	Outside        = bpfOutside
	OutsideFlags   = bpfOutsideFlags
	Passage        = bpfPassage
	Pool           = bpfPool
	PoolKey        = bpfPoolKey
	Pooling        = bpfPooling
	PortBits       = bpfPortBits
	PortBitsKey    = bpfPortBitsKey
	PortLoad       = bpfPortLoad
	PrefixKey      = bpfPrefixKey
	Program        = bpfProgram
	RangeKey       = bpfRangeKey
	Reason         = bpfReason
	Refusal        = bpfRefusal
	RefusalKey     = bpfRefusalKey
	Session        = bpfSession
	SessionFlags   = bpfSessionFlags
	SessionKey     = bpfSessionKey
	TimerNode      = bpfTimerNode
	SettingFlags   = bpfSettingFlags
	Settings       = bpfSettings
	Station        = bpfStation
	StationKey     = bpfStationKey
	SourceKey      = bpfSourceKey
	Spare          = bpfSpare
	SpareKey       = bpfSpareKey
	SpareQueue     = bpfSpareQueue
	SpareQueueKey  = bpfSpareQueueKey
	SubnetKey      = bpfSubnetKey
	Target         = bpfTarget
	TcpState       = bpfTcpState
	Token          = bpfToken
	Usage          = bpfUsage
	WayOut         = bpfWayOut
	Wheel          = bpfWheel
)

// Flags and enumerations of bpf/types.h.
const (
	ExhaustionProhibited          = bpfExhaustionEXHAUSTION_PROHIBITED
	ExhaustionSilent              = bpfExhaustionEXHAUSTION_SILENT
	ExhaustionUnreachable         = bpfExhaustionEXHAUSTION_UNREACHABLE
	FilterAddressAndPortDependent = bpfFilteringFILTER_ADDRESS_AND_PORT_DEPENDENT
	FilterAddressDependent        = bpfFilteringFILTER_ADDRESS_DEPENDENT
	FilterEndpointIndependent     = bpfFilteringFILTER_ENDPOINT_INDEPENDENT
	MarkReassembled               = bpfMarkMARK_REASSEMBLED
	MarkTranslated                = bpfMarkMARK_TRANSLATED
	MarkTransparent               = bpfMarkMARK_TRANSPARENT
	MarkToPort                    = bpfMarkMARK_TO_PORT
	NetworkDhcpInside             = bpfNetworkFlagsNETWORK_DHCP_INSIDE
	NetworkEndpointsIsolated      = bpfNetworkFlagsNETWORK_ENDPOINTS_ISOLATED
	NetworkHostOverlap            = bpfNetworkFlagsNETWORK_HOST_OVERLAP
	NetworkOpen                   = bpfNetworkFlagsNETWORK_OPEN
	InsideAllowances              = bpfNetworkFlagsINSIDE_ALLOWANCES
	NetworkRouters                = bpfNetworkFlagsNETWORK_ROUTERS
	NetworkNames                  = bpfNetworkFlagsNETWORK_NAMES
	SourceForwarded               = bpfSourceFlagsSOURCE_FORWARDED
	SourceOwn                     = bpfSourceFlagsSOURCE_OWN
	NetworkUnguarded              = bpfNetworkFlagsNETWORK_UNGUARDED
	NetworkSwitched               = bpfNetworkFlagsNETWORK_SWITCHED
	NetworkUnrouted               = bpfNetworkFlagsNETWORK_UNROUTED
	OutsideNoEthernet             = bpfOutsideFlagsOUTSIDE_NO_ETHERNET
)

// LoadSpec reads the embedded object file.
func LoadSpec() (*ebpf.CollectionSpec, error) { return loadBpf() }
