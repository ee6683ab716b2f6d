package model

import (
	"slices"
	"strings"
)

// NetworkType is how the endpoints of a network are joined with each other, with
// the host and with the outside. Each type has a file of its own that says what is
// peculiar to it, and a line in networkTypes.
type NetworkType string

// UsualNetworkType is that of a network for which nothing else is said.
const UsualNetworkType = TypeNAT

var networkTypes = []networkType{natType, internalType, perEndpointType, pointToPointType}

// networkType is what is peculiar to a type; what is not said is as with a switch that
// any compartment and any NAT may have. Whatever depends on the type of a network asks
// the network by a method that looks here.
type networkType struct {
	name         NetworkType
	hidden       bool      // nobody can ask for it
	nat          natNeed   // whether its endpoints reach the outside
	compartment  string    // stands in the place of a compartment's name; empty: there is one, as asked for
	isolation    Isolation // that a network of the type always has; empty: as asked for
	perEndpoint  bool      // each endpoint is by itself: no switch, and the addresses are everybody's
	pointToPoint bool      // the network is one endpoint's link
}

// natNeed says whether a network of a type is behind a NAT.
type natNeed int

const (
	mayHaveNAT natNeed = iota
	needsNAT
	hasNoNAT
)

func (t NetworkType) rules() networkType {
	for _, known := range networkTypes {
		if known.name == t {
			return known
		}
	}
	return networkType{}
}

// WithoutNAT reports whether no network of the type is behind a NAT.
func (t NetworkType) WithoutNAT() bool { return t.rules().nat == hasNoNAT }

// Isolation is that which a network of the type always has, or begins with.
func (t NetworkType) Isolation() Isolation { return t.rules().isolation }

// NetworkTypes are those that a user may ask for.
func NetworkTypes() (names []NetworkType) {
	for _, t := range networkTypes {
		if !t.hidden {
			names = append(names, t.name)
		}
	}
	return names
}

// TypeOf is the type of a network of which it was not said: it was stored before types
// were, or NAT none or compartment each say it. One with a bridge may be in a
// compartment that happens to be called "each": there were such before there were
// per-endpoint networks.
func TypeOf(compartment, bridge, nat string) NetworkType {
	switch {
	case compartment == EachCompartment && bridge == "":
		return TypePerEndpoint
	case nat == NoNAT:
		return TypeInternal
	}
	return UsualNetworkType
}

// ResolveNetworkType reads a type that is asked for, with the NAT and the compartment
// that are asked for beside it. Of the three, what is left out follows from the others.
func ResolveNetworkType(asked, nat, compartment string) (t NetworkType, itsNAT, itsCompartment string, err error) {
	t = NetworkType(asked)
	if asked == "" {
		t = TypeOf(compartment, "", nat)
	}
	if !slices.Contains(NetworkTypes(), t) {
		return "", "", "", Errorf(Invalid, "network type %q is not known", Clip(asked)).WithHint("use %s", networkTypeNames())
	}
	rules := t.rules()
	conflict := func(flag, value string) error {
		return Errorf(Invalid, "a network of type %s cannot have %s %q", t, flag, Clip(value)).WithHint("leave --type or --%s out", flag)
	}
	switch {
	case rules.nat == hasNoNAT && nat != "" && nat != NoNAT, rules.nat == needsNAT && nat == NoNAT:
		return "", "", "", conflict("nat", nat)
	case rules.nat == hasNoNAT:
		nat = NoNAT
	}
	for _, other := range networkTypes {
		if reserved := other.compartment; reserved != "" && compartment == reserved && rules.compartment != reserved {
			return "", "", "", conflict("compartment", compartment)
		}
	}
	if rules.compartment == "" {
		return t, nat, compartment, nil
	}
	if compartment != "" && compartment != rules.compartment {
		return "", "", "", conflict("compartment", compartment)
	}
	return t, nat, rules.compartment, nil
}

// networkTypeNames are those that a user may ask for: "nat, internal or per-endpoint".
func networkTypeNames() string {
	var names []string
	for _, t := range NetworkTypes() {
		names = append(names, string(t))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
