package datapath

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// poolValues are the external addresses of each NAT and way out, with the ports
// that its bindings may have. The slice that a NAT keeps for endpoint-dependent mapping on an
// address is no other NAT's there: a binding would take its sessions' answers.
func poolValues(c Config) map[kernel.PoolKey]kernel.Pool {
	values := make(map[kernel.PoolKey]kernel.Pool, len(c.Pools))
	all := make(map[uint32]uint32)   // dynamic ports of an address
	seen := make(map[[3]uint32]bool) // address and range
	for _, p := range c.Pools {
		key := kernel.PoolKey{Nat: p.NAT, Ifindex: p.Interface}
		if p.Source.IsValid() {
			key = kernel.PoolKey{Nat: p.NAT, Address: kernel.AddressOf(p.Source)}
		}
		value := poolValue(p, c)
		values[key] = value
		for _, a := range value.Address {
			for _, r := range a.Range {
				seenKey := [3]uint32{a.Address, uint32(r.Low), uint32(r.High)}
				if r.High == 0 || seen[seenKey] {
					continue // none, or that of a NAT with several interfaces
				}
				seen[seenKey] = true
				all[a.Address] += uint32(r.High-r.Low) + 1
			}
		}
	}
	for key, value := range values {
		for i := range value.Address {
			value.Address[i].All = all[value.Address[i].Address]
		}
		values[key] = value
	}
	return values
}

// allPools are poolValues and gatewayPools.
func allPools(c Config) map[kernel.PoolKey]kernel.Pool {
	values := poolValues(c)
	maps.Copy(values, gatewayPools(c, c.LocalPorts))
	return values
}

// gatewayPools let endpoints use what is published at their gateway's address: the
// receiver sees the gateway, with a port of its own. Networks that the host's
// routing tables leave out have none, since another one may have that gateway too.
func gatewayPools(c Config, local model.PortRange) map[kernel.PoolKey]kernel.Pool {
	values := make(map[kernel.PoolKey]kernel.Pool)
	for _, n := range c.Networks {
		if n.NAT == 0 || n.Bridge == 0 || n.Unrouted {
			continue
		}
		ports := model.DefaultPorts.Without(local)
		value := poolValue(Pool{NAT: n.NAT, Addresses: []PoolAddress{{Address: n.Gateway, Ports: ports}}}, Config{})
		value.Address[0].All = value.Address[0].Ports
		values[kernel.PoolKey{Nat: n.NAT, Ifindex: n.Bridge}] = value
	}
	return values
}

// poolValue puts the addresses that no new binding may have, because a mapping
// has them as a whole, behind the others: they are without ports.
func poolValue(p Pool, c Config) kernel.Pool {
	var value kernel.Pool
	if p.Follows {
		value.Flags |= kernel.PoolFollowsRoute
	}
	if p.Bound {
		value.Flags |= kernel.PoolBound
	}
	addresses := slices.Clone(p.Addresses)
	slices.SortStableFunc(addresses, func(a, b PoolAddress) int { return int(flag(len(a.Ports) == 0)) - int(flag(len(b.Ports) == 0)) })
	for i, a := range addresses {
		if i == len(value.Address) {
			break
		}
		to := &value.Address[i]
		to.Address = kernel.AddressOf(a.Address)
		to.Mask = maskOf(netip.PrefixFrom(a.Address, cmp.Or(a.Bits, 32)))
		if len(a.Ports) == 0 {
			value.Mapped++
			continue
		}
		value.Count++
		ranges := a.Ports
		if c.NATs[p.NAT].EndpointDependent {
			var kept model.PortRange
			ranges, kept = SplitDependent(ranges)
			to.Dependent.Low, to.Dependent.High = kept.Low, kept.High
		}
		ranges = withoutOthersDependent(ranges, p, a, c)
		for j, r := range ranges[:min(len(ranges), len(to.Range))] {
			to.Range[j].Low, to.Range[j].High = r.Low, r.High
			to.Ports += uint32(r.Size())
		}
	}
	return value
}

func withoutOthersDependent(ranges []model.PortRange, of Pool, at PoolAddress, c Config) []model.PortRange {
	for _, other := range c.Pools {
		if other.NAT == of.NAT || !c.NATs[other.NAT].EndpointDependent {
			continue
		}
		for _, a := range other.Addresses {
			if a.Address != at.Address {
				continue
			}
			_, kept := SplitDependent(a.Ports)
			ranges = subtract(ranges, kept)
		}
	}
	return ranges
}

// subtract takes the ports of out away; out of 0-0 takes none.
func subtract(ranges []model.PortRange, out model.PortRange) []model.PortRange {
	if out.High == 0 {
		return ranges
	}
	var rest []model.PortRange
	for _, r := range ranges {
		if out.High < r.Low || out.Low > r.High {
			rest = append(rest, r)
			continue
		}
		if r.Low < out.Low {
			rest = append(rest, model.PortRange{Low: r.Low, High: out.Low - 1})
		}
		if out.High < r.High {
			rest = append(rest, model.PortRange{Low: out.High + 1, High: r.High})
		}
	}
	return rest
}

// SplitDependent keeps the upper end of the largest range, an eighth of all
// ports, for endpoint-dependent mapping. One port alone is not split.
func SplitDependent(ranges []model.PortRange) (rest []model.PortRange, dependent model.PortRange) {
	const share = 8
	rest = slices.Clone(ranges)
	total, largest := 0, 0
	for i, r := range rest {
		total += r.Size()
		if r.Size() > rest[largest].Size() {
			largest = i
		}
	}
	if len(rest) == 0 || rest[largest].Size() < 2 {
		return rest, model.PortRange{}
	}
	r := &rest[largest]
	n := min(max(1, total/share), r.Size()-1)
	dependent = model.PortRange{Low: r.High - uint16(n) + 1, High: r.High}
	r.High -= uint16(n)
	return rest, dependent
}
