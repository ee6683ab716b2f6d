package model

import "strings"

// TypePerEndpoint has no switch: each endpoint has a link to the host, in a
// compartment of its own. All may have the same address and MAC, as clones of one
// machine have.
const TypePerEndpoint NetworkType = "per-endpoint"

// EachCompartment stands in the place of a compartment's name for per-endpoint
// networks: each of their endpoints is in a compartment of its own.
const EachCompartment = "each"

var perEndpointType = networkType{name: TypePerEndpoint, compartment: EachCompartment, isolation: IsolatedEndpoints, perEndpoint: true}

// TypePointToPoint is one endpoint's part of a per-endpoint network. It is never
// stored: Network.Part makes such networks.
const TypePointToPoint NetworkType = "point-to-point"

var pointToPointType = networkType{name: TypePointToPoint, hidden: true, isolation: IsolatedEndpoints, pointToPoint: true}

// PerEndpoint reports whether each endpoint of the network is by itself.
func (n Network) PerEndpoint() bool { return n.Type.rules().perEndpoint }

// IsPointToPoint reports whether the network is one endpoint's Part.
func (n Network) IsPointToPoint() bool { return n.Type.rules().pointToPoint }

// Part is the network that one endpoint of a per-endpoint network is in by itself: its
// link is in the place of a switch, and it is a compartment. No name that a user gives
// has a slash.
func (n Network) Part(e Endpoint) Network {
	n.Type, n.PartOf, n.ID = TypePointToPoint, n.ID, e.ID
	n.Name += "/" + e.Name
	n.Compartment, n.Bridge, n.Isolation = n.Name, e.Interface, pointToPointType.isolation
	return n
}

// CutPointToPoint returns the network that a network's name means to a user and, if it
// is the name of a Part, its endpoint.
func CutPointToPoint(name string) (network, endpoint string) {
	network, endpoint, _ = strings.Cut(name, "/")
	return network, endpoint
}
