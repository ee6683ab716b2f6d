package model

// Isolation is whom the endpoints of a network reach beside the gateway, the
// outside and published ports, which they always reach. In text and JSON "on",
// "off" or "endpoint". The zero value is on.
type Isolation string

// The three kinds of isolation.
const (
	IsolatedNetwork   Isolation = ""         // each other, but no other network: "on"
	NotIsolated       Isolation = "off"      // each other, and networks of the same compartment that are not isolated either
	IsolatedEndpoints Isolation = "endpoint" // nobody
)

// String is "on", "off" or "endpoint".
func (i Isolation) String() string {
	if i == IsolatedNetwork {
		return "on"
	}
	return string(i)
}

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (i *Isolation) UnmarshalText(text []byte) error {
	switch v := Isolation(text); v {
	case "on":
		*i = IsolatedNetwork
	case NotIsolated, IsolatedEndpoints:
		*i = v
	default:
		return Errorf(Invalid, "isolation %q is not known", Clip(string(text))).WithHint("use on, off or %s", IsolatedEndpoints)
	}
	return nil
}

// Unrouted reports whether the host's own routing tables leave the network out: one
// of another compartment may have the same prefix.
func (n Network) Unrouted() bool { return n.Compartment != DefaultCompartment }

// NoNAT stands in the place of a NAT's name for networks that are behind none:
// their endpoints do not reach the outside.
const NoNAT = "none"

// HasNAT reports whether the network is behind a NAT.
func (n Network) HasNAT() bool { return n.NAT != NoNAT }

// IsOpenTo reports whether endpoints of the two networks, which are not the
// same, reach each other.
func (n Network) IsOpenTo(other Network) bool {
	return n.Compartment == other.Compartment && n.Isolation == NotIsolated && other.Isolation == NotIsolated
}
