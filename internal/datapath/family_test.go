package datapath

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// What is not IPv4 must not become 0 in a table, which is any address there.
func TestOtherFamiliesAreRefused(t *testing.T) {
	t.Parallel()
	six, four := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("172.16.1.2")
	prefix, port := netip.MustParsePrefix("2001:db8::/64"), netip.AddrPortFrom(four, 80)
	mapping := func(external, internal netip.Addr, from ...netip.Prefix) Config {
		return Config{Mappings: map[uint32]Mapping{1: {
			External: model.SinglePort(netip.AddrPortFrom(external, 80)),
			Targets:  []Target{{Internal: model.SinglePort(netip.AddrPortFrom(internal, 80))}}, From: from,
		}}}
	}
	for name, c := range map[string]Config{
		"a pool":              {Pools: []Pool{{Addresses: []PoolAddress{{Address: six}}}}},
		"no address of one":   {Pools: []Pool{{Addresses: []PoolAddress{{}}}}},
		"a subnet":            {Networks: map[uint32]Network{1: {Subnet: prefix}}},
		"a gateway":           {Networks: map[uint32]Network{1: {Subnet: netip.PrefixFrom(four, 24), Gateway: six}}},
		"an overlap":          {Networks: map[uint32]Network{1: {Subnet: netip.PrefixFrom(four, 24), HostOverlap: []netip.Prefix{prefix}}}},
		"an inside":           {Insides: map[uint32]Inside{1: {Address: six}}},
		"an endpoint":         {Endpoints: []Endpoint{{Address: six}}},
		"the host":            {HostAddresses: map[netip.Addr]uint32{six: 1}},
		"a mapped IPv4":       {HostAddresses: map[netip.Addr]uint32{netip.MustParseAddr("::ffff:10.0.0.1"): 1}},
		"a lease":             {Leases: []Lease{{Address: six}}},
		"outside of mapping":  mapping(six, four),
		"target of mapping":   mapping(four, six),
		"remotes of mapping":  mapping(four, four, prefix),
		"one-to-one":          {OneToOne: map[uint32]OneToOne{1: {External: four, Internal: six}}},
		"one-to-one remotes":  {OneToOne: map[uint32]OneToOne{1: {External: four, Internal: four, From: []netip.Prefix{prefix}}}},
		"one-to-one no inner": {OneToOne: map[uint32]OneToOne{1: {External: four}}},
	} {
		err := c.checkFamily()
		if model.CodeOf(err) != model.Invalid || !strings.Contains(err.Error(), "IPv4 only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	fine := mapping(netip.IPv4Unspecified(), port.Addr(), netip.PrefixFrom(four, 24))
	fine.Insides = map[uint32]Inside{1: {}} // a bridge has none
	fine.Networks = map[uint32]Network{1: {Subnet: netip.PrefixFrom(four, 24)}}
	if err := fine.checkFamily(); err != nil {
		t.Errorf("IPv4 alone: %v", err)
	}
}
