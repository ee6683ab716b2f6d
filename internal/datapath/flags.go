package datapath

// Flags of elements, as the object has them: generated from bpf/types.h, so
// that there is no second list to keep in step.
const (
	bindingConfigured = uint32(bpfBindingFlagsBINDING_CONFIGURED)
	bindingEnded      = uint32(bpfBindingFlagsBINDING_ENDED)
	bindingAllowList  = uint32(bpfBindingFlagsBINDING_ALLOW_LIST)
	bindingOfRange    = uint32(bpfBindingFlagsBINDING_OF_RANGE)
	bindingSpread     = uint32(bpfBindingFlagsBINDING_SPREAD)
	bindingHoldDown   = uint32(bpfBindingFlagsBINDING_HOLD_DOWN)
	bindingCounted    = uint32(bpfBindingFlagsBINDING_COUNTED)
)

const (
	sessionAnyAddress        = uint16(bpfSessionFlagsSESSION_ANY_ADDRESS)
	sessionFilterEntry       = uint16(bpfSessionFlagsSESSION_FILTER_ENTRY)
	sessionHairpin           = uint16(bpfSessionFlagsSESSION_HAIRPIN)
	sessionSpread            = uint16(bpfSessionFlagsSESSION_SPREAD)
	sessionEndpointDependent = uint16(bpfSessionFlagsSESSION_ENDPOINT_DEPENDENT)
	sessionCounted           = uint16(bpfSessionFlagsSESSION_COUNTED)
)

const (
	settingRanges            = uint32(bpfSettingFlagsSETTING_RANGES)
	settingEndpointDependent = uint32(bpfSettingFlagsSETTING_ENDPOINT_DEPENDENT)
	settingTransparent       = uint32(bpfSettingFlagsSETTING_TRANSPARENT)
	settingMixedHold         = uint32(bpfSettingFlagsSETTING_MIXED_HOLD)
	settingShadows           = uint32(bpfSettingFlagsSETTING_SHADOWS)
)

// flagIf is the flag if it is set, else 0.
func flagIf[F ~uint32](set bool, f F) uint32 {
	if set {
		return uint32(f)
	}
	return 0
}
