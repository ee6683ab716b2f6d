package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

func maskOf(p netip.Prefix) uint32 {
	return binary.NativeEndian.Uint32(net.CIDRMask(p.Bits(), 32))
}

func prefixKey(p netip.Prefix) kernel.PrefixKey {
	return kernel.PrefixKey{Length: uint32(p.Bits()), Address: kernel.AddressOf(p.Addr())}
}

func filteringOf(f model.Filtering) uint8 {
	switch f {
	case model.EndpointIndependent:
		return uint8(kernel.FilterEndpointIndependent)
	case model.AddressAndPortDependent:
		return uint8(kernel.FilterAddressAndPortDependent)
	}
	return uint8(kernel.FilterAddressDependent)
}

func exhaustionOf(e model.Exhaustion) uint8 {
	switch e {
	case model.Unreachable:
		return uint8(kernel.ExhaustionUnreachable)
	case model.Silent:
		return uint8(kernel.ExhaustionSilent)
	}
	return uint8(kernel.ExhaustionProhibited)
}

func flag(set bool) uint8 {
	if set {
		return 1
	}
	return 0
}

// mtuOf is 0, no limit, for what no IPv4 datagram can exceed.
func mtuOf(mtu int) uint16 {
	if mtu < 0 || mtu >= 65535 {
		return 0
	}
	return uint16(mtu)
}

// flagIf is the flag if it is set, else 0.
func flagIf[F ~uint32](set bool, f F) uint32 {
	if set {
		return uint32(f)
	}
	return 0
}
