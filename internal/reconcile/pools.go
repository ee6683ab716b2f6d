package reconcile

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// poolAddresses is how many addresses a pool has room for.
const poolAddresses = 8

// pools are the external addresses of a NAT: its own, or what the host's routes
// choose.
func (v view) pools(n model.NAT) []datapath.Pool {
	interfaces := make(map[string]bool)
	for _, name := range n.ExternalInterfaces {
		interfaces[name] = true
	}
	if len(n.ExternalAddresses) > 0 {
		return v.fixedPools(n, interfaces)
	}
	var list []datapath.Pool
	for _, l := range v.outsides() {
		if len(interfaces) == 0 || interfaces[l.Name] {
			list = append(list, datapath.Pool{NAT: n.ID, Interface: uint32(l.Index), Follows: true, Addresses: v.addressesAt(l)})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return append(list, v.sourcePools(n)...)
}

// fixedPools are none if what the NAT was given is not there: it has no right to
// another address.
func (v view) fixedPools(n model.NAT, interfaces map[string]bool) []datapath.Pool {
	addresses := v.withoutOneToOne(v.fixedAddresses(n))
	if len(addresses) == 0 {
		return nil
	}
	list := []datapath.Pool{{NAT: n.ID, Bound: len(interfaces) > 0, Addresses: addresses}}
	for _, l := range v.outsides() {
		if interfaces[l.Name] {
			list = append(list, datapath.Pool{NAT: n.ID, Interface: uint32(l.Index), Addresses: addresses})
		}
	}
	return list
}

// sourcePools are for each address of the host's that its routes may choose for
// what leaves: it need not be of the interface (`ip route ... src`, addresses on
// loopback). A gateway's is none of them: nobody outside knows it.
func (v view) sourcePools(n model.NAT) (list []datapath.Pool) {
	for _, l := range v.outsides() {
		list = append(list, v.poolsOf(n, l)...)
	}
	for _, l := range v.links {
		if l.Loopback {
			list = append(list, v.poolsOf(n, l)...)
		}
	}
	return list
}

// poolsOf are the pools of a link's addresses. One that a mapping has as a whole is
// its endpoint's, which has it whatever the route says; the others have another of
// the link instead.
func (v view) poolsOf(n model.NAT, l host.Link) (list []datapath.Pool) {
	atLink := v.addressesAt(l)
	for _, p := range l.Sources() {
		addresses := []datapath.PoolAddress{v.dynamic(p)}
		if _, mapped := v.oneToOneOf(addresses[0]); mapped {
			addresses = atLink
		} else {
			for _, a := range atLink {
				if len(a.Ports) == 0 {
					addresses = append(addresses, a)
				}
			}
		}
		list = append(list, datapath.Pool{NAT: n.ID, Source: p.Addr(), Follows: true, Addresses: addresses})
	}
	return list
}

// addressesAt are what leaves by a link has where the kernel does not say which, the
// best first. On a link without addresses it is those of loopback, as with the
// kernel.
func (v view) addressesAt(l host.Link) []datapath.PoolAddress {
	sources := l.Sources()
	for _, other := range v.links {
		if len(sources) == 0 && other.Loopback {
			sources = other.Sources()
		}
	}
	var list []datapath.PoolAddress
	for _, p := range sources[:min(len(sources), poolAddresses)] {
		list = append(list, v.dynamic(p))
	}
	return v.withoutOneToOne(list)
}

func (v view) dynamic(p netip.Prefix) datapath.PoolAddress {
	return datapath.PoolAddress{Address: p.Addr(), Bits: p.Bits(), Ports: model.DefaultPorts.Without(v.local)}
}

func (v view) fixedAddresses(n model.NAT) []datapath.PoolAddress {
	var list []datapath.PoolAddress
	for _, a := range n.ExternalAddresses {
		if !v.has(a.Address) {
			continue // no answer would find its way back
		}
		ports := a.Ports.Without(v.local)
		if i := indexOf(list, a.Address); i >= 0 {
			list[i].Ports = append(list[i].Ports, ports...)
			continue
		}
		list = append(list, datapath.PoolAddress{Address: a.Address, Ports: ports})
	}
	return list
}

func indexOf(list []datapath.PoolAddress, a netip.Addr) int {
	return slices.IndexFunc(list, func(p datapath.PoolAddress) bool { return p.Address == a })
}

// hasAddress reports whether any NAT has an external address.
func hasAddress(pools []datapath.Pool) bool {
	return slices.ContainsFunc(pools, func(p datapath.Pool) bool { return len(p.Addresses) > 0 })
}

func overlaps(pools []datapath.Pool, local model.PortRange) bool {
	for _, p := range pools {
		for _, a := range p.Addresses {
			for _, r := range a.Ports {
				if r.Low <= local.High && r.High >= local.Low {
					return true
				}
			}
		}
	}
	return false
}
