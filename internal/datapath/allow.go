package datapath

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

func (e Endpoint) hasAllowances() bool { return len(e.Sources) > 0 || e.Forwards }

// routed are the endpoint's further prefixes that are not of its network's subnet.
func (e Endpoint) routed(n Network) (list []netip.Prefix) {
	for _, p := range e.Sources {
		if !n.Subnet.Contains(p.Addr()) {
			list = append(list, p)
		}
	}
	return list
}

func subnetKey(compartment uint32, p netip.Prefix) kernel.SubnetKey {
	return kernel.SubnetKey{Length: 32 + uint32(p.Bits()), Compartment: compartment, Address: kernel.AddressOf(p.Addr())}
}

func prefixOf(k kernel.SubnetKey) netip.Prefix {
	return netip.PrefixFrom(kernel.ToAddress(k.Address), int(k.Length)-32)
}

// behindValues say which endpoint has a further address. What several may have is
// with whoever of them answers for it.
func behindValues(c Config) map[kernel.SubnetKey]uint32 {
	values := make(map[kernel.SubnetKey]uint32)
	for _, e := range c.Endpoints {
		for _, p := range e.Sources {
			key, at := subnetKey(e.Compartment, p), kernel.AddressOf(e.Address)
			if _, several := values[key]; several {
				at = 0
			}
			values[key] = at
		}
	}
	return values
}

// sourceValues say what else endpoints may send from.
func sourceValues(c Config) map[kernel.SourceKey]uint32 {
	values := make(map[kernel.SourceKey]uint32)
	for _, e := range c.Endpoints {
		for _, p := range e.Sources {
			values[kernel.SourceKey{Length: 32 + uint32(p.Bits()), Ifindex: e.Interface, Address: kernel.AddressOf(p.Addr())}] = uint32(kernel.SourceOwn)
		}
		if e.Forwards {
			values[kernel.SourceKey{Length: 32, Ifindex: e.Interface}] = uint32(kernel.SourceForwarded)
		}
	}
	return values
}
