package datapath

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// The rows of each table, as they follow from a configuration.

func natValues(c Config) map[uint32]kernel.Nat {
	values := make(map[uint32]kernel.Nat, len(c.NATs))
	for id, n := range c.NATs {
		values[id] = kernel.Nat{
			UdpTimeout:            uint32(n.Timeouts.UDP),
			TcpEstablishedTimeout: uint32(n.Timeouts.TCPEstablished),
			TcpTransitoryTimeout:  uint32(n.Timeouts.TCPTransitory),
			IcmpTimeout:           uint32(n.Timeouts.ICMP),
			HoldDown:              uint32(n.HoldDown),
			MaxSessions:           n.Limits.Sessions,
			MaxPorts:              n.Limits.Ports,
			MaxRate:               n.Limits.Rate,
			Pooling:               kernel.PoolingOf(n.Pooling),
			EndpointDependent:     flag(n.EndpointDependent),
			ClampMss:              flag(n.MSSClamp),
			Exhaustion:            exhaustionOf(n.Exhaustion),
			LinkLocal:             flag(n.LinkLocal),
			Table:                 n.Table,
			TcpFiltering:          filteringOf(n.TCPFiltering),
			UdpFiltering:          filteringOf(n.UDPFiltering),
			UdpInboundRefresh:     flag(n.UDPInboundRefresh),
		}
	}
	return values
}

func networkValues(c Config) map[uint32]kernel.Network {
	values := make(map[uint32]kernel.Network, len(c.Networks))
	for id, n := range c.Networks {
		values[id] = kernel.Network{BridgeIfindex: n.Bridge, InputIfindex: n.Input, Flags: n.flags(), Compartment: n.Compartment}
	}
	return values
}

// prefixValues has subnets, but of networks that the host's routing tables leave
// out the gateways alone: outside somebody else may have their other addresses. Of
// what the host has elsewhere the value is 0, but for the gateway.
func prefixValues(c Config) map[kernel.PrefixKey]uint32 {
	values := make(map[kernel.PrefixKey]uint32, len(c.Networks))
	for _, id := range slices.Sorted(maps.Keys(c.Networks)) { // of equal prefixes always the same one
		n := c.Networks[id]
		if !n.Unrouted {
			values[prefixKey(n.Subnet.Masked())] = id
		}
	}
	for _, e := range c.Endpoints {
		n := c.Networks[e.Network]
		for _, p := range e.routed(n) {
			if !n.Unrouted {
				values[prefixKey(p)] = e.Network
			}
		}
	}
	for _, n := range c.Networks {
		for _, p := range n.HostOverlap {
			values[prefixKey(p.Masked())] = 0
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Networks)) {
		n := c.Networks[id]
		if n.Unrouted || len(n.HostOverlap) > 0 {
			values[prefixKey(netip.PrefixFrom(n.Gateway, n.Gateway.BitLen()))] = id
		}
	}
	return values
}

func (n Network) flags() uint32 {
	return flagIf(n.Open, kernel.NetworkOpen) |
		flagIf(n.EndpointsIsolated, kernel.NetworkEndpointsIsolated) |
		flagIf(n.Unrouted, kernel.NetworkUnrouted) |
		flagIf(n.DHCPInside, kernel.NetworkDhcpInside) |
		flagIf(n.Switched, kernel.NetworkSwitched) |
		flagIf(n.Unguarded, kernel.NetworkUnguarded) |
		flagIf(n.Routers, kernel.NetworkRouters) |
		flagIf(n.Names, kernel.NetworkNames) |
		flagIf(len(n.HostOverlap) > 0, kernel.NetworkHostOverlap)
}

func subnetValues(c Config) map[kernel.SubnetKey]uint32 {
	values := make(map[kernel.SubnetKey]uint32, len(c.Networks))
	for id, n := range c.Networks {
		p := n.Subnet.Masked()
		values[subnetKey(n.Compartment, p)] = id
	}
	for _, e := range c.Endpoints {
		for _, p := range e.routed(c.Networks[e.Network]) {
			values[subnetKey(e.Compartment, p)] = e.Network
		}
	}
	return values
}

func hostAddressValues(c Config) map[uint32]kernel.HostAddress {
	values := make(map[uint32]kernel.HostAddress, len(c.HostAddresses))
	for a, ifindex := range c.HostAddresses {
		value := kernel.HostAddress{Ifindex: ifindex}
		if c.Deprecated[a] {
			value.Flags = kernel.HostAddressDeprecated
		}
		values[kernel.AddressOf(a)] = value
	}
	return values
}

func broadcastValues(c Config) map[uint32]uint32 {
	values := make(map[uint32]uint32, len(c.Broadcasts))
	for a, ifindex := range c.Broadcasts {
		values[kernel.AddressOf(a)] = ifindex
	}
	return values
}

func endpointValues(c Config) map[kernel.EndpointKey]kernel.Endpoint {
	values := make(map[kernel.EndpointKey]kernel.Endpoint, len(c.Endpoints))
	for _, e := range c.Endpoints {
		values[kernel.EndpointKey{Compartment: e.Compartment, Address: kernel.AddressOf(e.Address)}] = kernel.Endpoint{
			Ifindex:    e.Interface,
			Network:    e.Network,
			Delivery:   kernel.DeliveryOf(e.Peer),
			Mtu:        mtuOf(e.MTU),
			Mac:        kernel.MACOf(e.MAC),
			GatewayMac: kernel.MACOf(e.GatewayMAC),
		}
	}
	return values
}

func insideValues(c Config) map[uint32]kernel.Inside {
	values := make(map[uint32]kernel.Inside, len(c.Insides))
	for ifindex, i := range c.Insides {
		n := c.Networks[i.Network]
		value := kernel.Inside{
			Network:     i.Network,
			Compartment: n.Compartment,
			Nat:         n.NAT,
			Subnet:      kernel.AddressOf(n.Subnet.Masked().Addr()),
			Mask:        maskOf(n.Subnet),
			Gateway:     kernel.AddressOf(n.Gateway),
			Mac:         kernel.MACOf(i.MAC),
			GatewayMac:  kernel.MACOf(n.GatewayMAC),
			Flags:       n.flags() | flagIf(i.Further, kernel.InsideAllowances),
		}
		if i.Address.IsValid() {
			value.Address = kernel.AddressOf(i.Address)
		}
		values[ifindex] = value
	}
	return values
}

func outsideValues(c Config) map[uint32]kernel.Outside {
	values := make(map[uint32]kernel.Outside, len(c.Outsides))
	for ifindex, o := range c.Outsides {
		values[ifindex] = kernel.Outside{Flags: flagIf(o.NoEthernet, kernel.OutsideNoEthernet)}
	}
	return values
}

// oneToOneIn are the mappings of whole addresses by the external one. They have no
// sessions.
func oneToOneIn(c Config) map[uint32]kernel.OneToOne {
	return oneToOne(c, func(v kernel.OneToOne) uint32 { return v.ExternalAddress })
}

func oneToOneOut(c Config) map[kernel.EndpointKey]kernel.OneToOne {
	return oneToOne(c, func(v kernel.OneToOne) kernel.EndpointKey {
		return kernel.EndpointKey{Compartment: v.Compartment, Address: v.InternalAddress}
	})
}

// oneToOne has the oldest where several have a key: it is an endpoint's way out.
func oneToOne[K comparable](c Config, key func(kernel.OneToOne) K) map[K]kernel.OneToOne {
	values := make(map[K]kernel.OneToOne, len(c.OneToOne))
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(c.OneToOne))) {
		w := c.OneToOne[id]
		value := kernel.OneToOne{
			Mapping: id, Compartment: w.Compartment, Network: w.Network, Nat: w.NAT,
			InternalAddress: kernel.AddressOf(w.Internal), ExternalAddress: kernel.AddressOf(w.External),
			Flags: flagIf(len(w.From) > 0, kernel.BindingAllowList),
		}
		values[key(value)] = value
	}
	return values
}

// stamped gives the rows of links on switches what frames carry there once they have
// been checked (bpf/stamp.h). Without ports that are checked there is none.
func stamped(values map[uint32]kernel.Inside, c Config, secret [2]uint64) map[uint32]kernel.Inside {
	for ifindex, i := range c.Insides {
		if !i.PointToPoint && !c.Networks[i.Network].Unguarded {
			value := values[ifindex]
			value.Stamp = stampOf(secret, i.Network)
			values[ifindex] = value
		}
	}
	return values
}

// stampOf is a network's own, and the same in every version: while one takes over from
// another, frames are stamped by the one and looked at by the other.
func stampOf(secret [2]uint64, network uint32) uint32 {
	text := binary.NativeEndian.AppendUint32(nil, network)
	for _, half := range secret {
		text = binary.NativeEndian.AppendUint64(text, half)
	}
	sum := sha256.Sum256(text)
	return binary.NativeEndian.Uint32(sum[:]) | 1
}
