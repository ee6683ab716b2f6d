package kernel

// Flags of elements, as the object has them: generated from bpf/types.h, so
// that there is no second list to keep in step.
const (
	BindingConfigured = uint32(bpfBindingFlagsBINDING_CONFIGURED)
	BindingEnded      = uint32(bpfBindingFlagsBINDING_ENDED)
	BindingAllowList  = uint32(bpfBindingFlagsBINDING_ALLOW_LIST)
	BindingOfRange    = uint32(bpfBindingFlagsBINDING_OF_RANGE)
	BindingSpread     = uint32(bpfBindingFlagsBINDING_SPREAD)
	BindingHoldDown   = uint32(bpfBindingFlagsBINDING_HOLD_DOWN)
	BindingCounted    = uint32(bpfBindingFlagsBINDING_COUNTED)
)

const (
	SessionAnyAddress        = uint16(bpfSessionFlagsSESSION_ANY_ADDRESS)
	SessionContact           = uint16(bpfSessionFlagsSESSION_CONTACT)
	SessionFilterEntry       = uint16(bpfSessionFlagsSESSION_FILTER_ENTRY)
	SessionHairpin           = uint16(bpfSessionFlagsSESSION_HAIRPIN)
	SessionSpread            = uint16(bpfSessionFlagsSESSION_SPREAD)
	SessionGuest             = uint16(bpfSessionFlagsSESSION_GUEST)
	SessionEndpointDependent = uint16(bpfSessionFlagsSESSION_ENDPOINT_DEPENDENT)
	SessionFromOutside       = uint16(bpfSessionFlagsSESSION_FROM_OUTSIDE)
	SessionCounted           = uint16(bpfSessionFlagsSESSION_COUNTED)
)

const (
	SettingRanges      = uint32(bpfSettingFlagsSETTING_RANGES)
	SettingTransparent = uint32(bpfSettingFlagsSETTING_TRANSPARENT)
	SettingAllowances  = uint32(bpfSettingFlagsSETTING_ALLOWANCES)
	SettingMappings    = uint32(bpfSettingFlagsSETTING_MAPPINGS)
	SettingShadows     = uint32(bpfSettingFlagsSETTING_SHADOWS)
	SettingRouteMTUs   = uint32(bpfSettingFlagsSETTING_ROUTE_MTUS)
)

const (
	PoolFollowsRoute = uint32(bpfPoolFlagsPOOL_FOLLOWS_ROUTE)
	PoolBound        = uint32(bpfPoolFlagsPOOL_BOUND)
)

const HostAddressDeprecated = uint32(bpfHostAddressFlagsHOST_ADDRESS_DEPRECATED)

const (
	IPsecForwarded = uint8(bpfIpsecFlagsIPSEC_FORWARDED)
	IPsecPasses    = uint8(bpfIpsecFlagsIPSEC_PASSES)
	IPsecPolicies  = int(bpfIpsecLimitsIPSEC_POLICIES)  // how many there is room for
	IPsecSecond    = uint32(bpfIpsecLimitsIPSEC_SECOND) // in settings: those in use are in the second half of the map
)
