package docker

import (
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/api"
)

// SubnetOf gives Docker the upper half of a network's subnet: in the lower one are
// the gateway, and whoever else is plugged in there and asks by DHCP.
func SubnetOf(n api.Network) (Subnet, error) {
	for i, p := range n.Subnets {
		if !p.Addr().Is4() || i >= len(n.Gateways) {
			continue
		}
		if p.Bits() > 28 {
			return Subnet{}, fmt.Errorf("subnet %s of network %q is too small to share with Docker: give one of 16 addresses or more", p, n.Name)
		}
		half := p.Addr().As4()
		half[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
		return Subnet{Prefix: p, Gateway: n.Gateways[i], Part: netip.PrefixFrom(netip.AddrFrom4(half), p.Bits()+1)}, nil
	}
	return Subnet{}, fmt.Errorf("network %q has no IPv4 subnet", n.Name)
}

// Range is LO-HI, all addresses of Docker's part that a machine can have.
func (s Subnet) Range() string {
	low, high := s.Part.Addr().As4(), s.Part.Addr().As4()
	for bit := s.Part.Bits(); bit < 32; bit++ {
		high[bit/8] |= 0x80 >> (bit % 8)
	}
	high[3]-- // the last is the subnet's broadcast address
	return fmt.Sprintf("%s-%s", netip.AddrFrom4(low), netip.AddrFrom4(high))
}
