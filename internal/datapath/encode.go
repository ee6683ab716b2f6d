package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// The kernel compares addresses and ports as bytes in network order; in Go the
// same bytes are integers in the machine's order.

func addressOf(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

func toAddress(v uint32) netip.Addr {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

func portOf(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func toPort(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}

func toAddrPort(address uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(toAddress(address), toPort(port))
}

func maskOf(p netip.Prefix) uint32 {
	return binary.NativeEndian.Uint32(net.CIDRMask(p.Bits(), 32))
}

func macOf(m model.MAC) (mac [6]byte) {
	parsed, err := net.ParseMAC(string(m))
	if err == nil {
		copy(mac[:], parsed)
	}
	return mac
}

func prefixKey(p netip.Prefix) bpfPrefixKey {
	return bpfPrefixKey{Length: uint32(p.Bits()), Address: addressOf(p.Addr())}
}

func filteringOf(f model.Filtering) uint8 {
	switch f {
	case model.EndpointIndependent:
		return uint8(bpfFilteringFILTER_ENDPOINT_INDEPENDENT)
	case model.AddressAndPortDependent:
		return uint8(bpfFilteringFILTER_ADDRESS_AND_PORT_DEPENDENT)
	}
	return uint8(bpfFilteringFILTER_ADDRESS_DEPENDENT)
}

func exhaustionOf(e model.Exhaustion) uint8 {
	switch e {
	case model.Unreachable:
		return uint8(bpfExhaustionEXHAUSTION_UNREACHABLE)
	case model.Silent:
		return uint8(bpfExhaustionEXHAUSTION_SILENT)
	}
	return uint8(bpfExhaustionEXHAUSTION_PROHIBITED)
}

func poolingOf(p model.Pooling) uint8 {
	if p == model.Arbitrary {
		return uint8(bpfPoolingPOOLING_ARBITRARY)
	}
	return uint8(bpfPoolingPOOLING_PAIRED)
}

func deliveryOf(peer bool) uint8 {
	if peer {
		return uint8(bpfDeliveryDELIVER_PEER)
	}
	return uint8(bpfDeliveryDELIVER_LINK)
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
