package model

// NetworkType is how the endpoints of a network are joined with each other, with
// the host and with the outside.
type NetworkType string

// The types. The last one is never stored: Unfolded makes such networks.
const (
	TypeNAT          NetworkType = "nat"            // a switch, behind a NAT
	TypeInternal     NetworkType = "internal"       // a switch, behind no NAT: endpoints do not reach the outside
	TypePerEndpoint  NetworkType = "per-endpoint"   // no switch: each endpoint has a link to the host, in a compartment of its own. All may have the same address and MAC, as clones of one machine have
	TypePointToPoint NetworkType = "point-to-point" // one endpoint's part of a per-endpoint network
)

// NetworkTypes are those that a user may ask for.
func NetworkTypes() []NetworkType { return []NetworkType{TypeNAT, TypeInternal, TypePerEndpoint} }

// TypeOf is the type of a network that was stored before types were. One with a
// bridge may be in a compartment that happens to be called "each": there were such
// before there were per-endpoint networks.
func TypeOf(compartment, bridge, nat string) NetworkType {
	switch {
	case compartment == EachCompartment && bridge == "":
		return TypePerEndpoint
	case nat == NoNAT:
		return TypeInternal
	}
	return TypeNAT
}
