package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// RouteMTU is the MTU that routes of the host to a prefix have of their own. The
// kernel answers with a link, a next hop and a metric: of those that have these,
// the one with the longest prefix around the destination counts.
type RouteMTU struct {
	Interface uint32
	NextHop   netip.Addr `address:"any family"` // not valid: none
	Metric    uint32
	Prefix    netip.Prefix
	MTU       int // bytes; 0: none of its own
}

// MaxRouteMTUs is how many there is room for.
const MaxRouteMTUs = 65536

func routeMTUValues(c Config) map[kernel.RouteMtuKey]uint32 {
	values := make(map[kernel.RouteMtuKey]uint32, len(c.RouteMTUs))
	for _, r := range c.RouteMTUs[:min(len(c.RouteMTUs), MaxRouteMTUs)] {
		values[kernel.RouteMtuKey{
			Length: 96 + uint32(r.Prefix.Bits()), Ifindex: r.Interface, NextHop: nextHopOf(r.NextHop), Metric: r.Metric,
			Destination: kernel.AddressOf(r.Prefix.Masked().Addr()),
		}] = uint32(r.MTU)
	}
	return values
}

// nextHopOf is a next hop as hash_next_hop6 of bpf/ip4_route.h makes it.
func nextHopOf(a netip.Addr) uint32 {
	if !a.Is6() {
		return kernel.AddressOf(a)
	}
	bytes, hash := a.As16(), uint32(0)
	for i := 12; i >= 0; i -= 4 {
		hash = kernel.Mix(binary.NativeEndian.Uint32(bytes[i:]) ^ hash)
	}
	return hash
}

// IPsecPolicy is a policy of the host's for what leaves, or is forwarded.
type IPsecPolicy struct {
	Forwarded                       bool // it is for packets that are forwarded; else for all that leave
	Source, Destination             netip.Prefix
	SourcePort, DestinationPort     uint16 // ICMP: type and code
	SourceMask, DestinationPortMask uint16 // which bits of them count
	Protocol                        uint8  // 0: any
	Interface                       uint32 // 0: any
	Passes                          bool   // what it selects may leave as it is
}

// MaxIPsecPolicies is how many there is room for.
const MaxIPsecPolicies = kernel.IPsecPolicies

func ipsecValue(p IPsecPolicy) kernel.IpsecPolicy {
	value := kernel.IpsecPolicy{
		Source: kernel.AddressOf(p.Source.Masked().Addr()), SourceMask: maskOf(p.Source),
		Destination: kernel.AddressOf(p.Destination.Masked().Addr()), DestinationMask: maskOf(p.Destination),
		SourcePort: p.SourcePort, SourcePortMask: p.SourceMask,
		DestinationPort: p.DestinationPort, DestinationPortMask: p.DestinationPortMask,
		Ifindex: p.Interface, Protocol: p.Protocol,
	}
	if p.Forwarded {
		value.Flags |= kernel.IPsecForwarded
	}
	if p.Passes {
		value.Flags |= kernel.IPsecPasses
	}
	return value
}

// applyIPsec makes the policies equal to want, in order, at one moment: those that
// were there count until all of the new ones are written, to the other half of the
// map. What there is no room for is not let pass: then everything is held back.
func (d *Datapath) applyIPsec(want []IPsecPolicy) error {
	if len(want) > MaxIPsecPolicies {
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		want = []IPsecPolicy{{Source: everything, Destination: everything}}
	}
	var now kernel.Settings
	if err := d.objects.Configuration.Lookup(uint32(0), &now); err != nil {
		return fmt.Errorf("reading the data path's settings: %w", err)
	}
	const second = kernel.IPsecSecond
	equal, err := d.holdsIPsec(now.Ipsec, want)
	if err != nil || equal {
		return err
	}
	half := ^now.Ipsec & second
	for i, p := range want {
		value := ipsecValue(p)
		if err := kernel.Update(d.objects.IpsecPolicies, ipsecIndex(half, i), &value, ebpf.UpdateAny); err != nil {
			return fmt.Errorf("writing the data path's IPsec policies: %w", err)
		}
	}
	if len(want) == 0 {
		half = 0
	}
	return d.changeSettings(func(s *kernel.Settings) { s.Ipsec = half | uint32(len(want)) })
}

// holdsIPsec reports whether the half that settings name holds want.
func (d *Datapath) holdsIPsec(settings uint32, want []IPsecPolicy) (bool, error) {
	const second = kernel.IPsecSecond
	if settings&^second != uint32(len(want)) {
		return false, nil
	}
	for i, p := range want {
		var value kernel.IpsecPolicy
		if err := d.objects.IpsecPolicies.Lookup(ipsecIndex(settings&second, i), &value); err != nil {
			return false, fmt.Errorf("reading the data path's IPsec policies: %w", err)
		}
		if value != ipsecValue(p) {
			return false, nil
		}
	}
	return true, nil
}

func ipsecIndex(half uint32, i int) uint32 {
	if half != 0 {
		i += MaxIPsecPolicies
	}
	return uint32(i)
}
