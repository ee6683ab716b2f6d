package driver

import "encoding/json"

// The messages of Docker's plugin protocol, as far as they are used here: moby's
// daemon/libnetwork/drivers/remote/api and ipams/remote/api. Keys are as Go writes them.

type nothing struct{}

// activation says what the plugin is.
type activation struct{ Implements []string }

type capabilities struct {
	Scope, ConnectivityScope string
	GwAllocChecker           bool
}

// gateways says whether Docker need not reserve a gateway's address.
type gateways struct{ SkipIPv4, SkipIPv6 bool }

// pool is what an IPAM driver has given for a network.
type pool struct {
	AddressSpace string
	Pool         string            // CIDR
	Gateway      string            // CIDR
	AuxAddresses map[string]string // CIDRs, by name
}

type createNetwork struct {
	NetworkID          string
	Options            map[string]json.RawMessage
	IPv4Data, IPv6Data []pool
}

type deleteNetwork struct{ NetworkID string }

// endpointCall is that of most calls about an endpoint.
type endpointCall struct {
	NetworkID, EndpointID string
	Options               map[string]json.RawMessage
}

// link is a container's, as Docker has it or, in an answer, as it is to be.
type link struct{ Address, AddressIPv6, MacAddress string }

type createEndpoint struct {
	NetworkID, EndpointID string
	Interface             *link
}

type createdEndpoint struct{ Interface *link }

// names say which link of the host Docker is to take, and how it is to be called.
type names struct{ SrcName, DstPrefix string }

type joined struct {
	InterfaceName         names
	Gateway               string
	DisableGatewayService bool
}

type operInfo struct{ Value map[string]string }

// portBinding is a published port.
type portBinding struct {
	Proto                 uint8
	Port                  uint16 // of the container
	HostIP                string
	HostPort, HostPortEnd uint16 // 0: any
}

type ipamCapabilities struct{ RequiresMACAddress, RequiresRequestReplay bool }

type addressSpaces struct{ LocalDefaultAddressSpace, GlobalDefaultAddressSpace string }

type requestPool struct {
	AddressSpace, Pool, SubPool string
	Options                     map[string]string
	V6                          bool
}

type leasedPool struct {
	PoolID, Pool string
	Data         map[string]string
}

type releasePool struct{ PoolID string }

type requestAddress struct {
	PoolID, Address string
	Options         map[string]string
}

type leasedAddress struct {
	Address string // CIDR
	Data    map[string]string
}

type releaseAddress struct{ PoolID, Address string }
