package kernel

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// The kernel compares addresses and ports as bytes in network order; in Go the
// same bytes are integers in the machine's order.

// AddressOf is 0 for no address. Addresses that are not IPv4 do not come here:
// package datapath refuses every value that holds one (checkFamily). Should one come
// all the same, it is 255.255.255.255, which nobody has: 0 may mean everybody.
func AddressOf(a netip.Addr) uint32 {
	if !a.IsValid() {
		return 0
	}
	if !a.Is4() {
		return math.MaxUint32
	}
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

// ToAddress is the inverse of AddressOf.
func ToAddress(v uint32) netip.Addr {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// PortOf is a port as the tables have it.
func PortOf(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

// ToPort is the inverse of PortOf.
func ToPort(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}

// ToAddrPort makes an address and a port of the tables readable.
func ToAddrPort(address uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(ToAddress(address), ToPort(port))
}

// MACOf is zero for what is no MAC address.
func MACOf(m model.MAC) (mac [6]byte) {
	parsed, err := net.ParseMAC(string(m))
	if err == nil {
		copy(mac[:], parsed)
	}
	return mac
}

func PoolingOf(p model.Pooling) uint8 {
	if p == model.Arbitrary {
		return uint8(bpfPoolingPOOLING_ARBITRARY)
	}
	return uint8(bpfPoolingPOOLING_PAIRED)
}

func DeliveryOf(peer bool) uint8 {
	if peer {
		return uint8(bpfDeliveryDELIVER_PEER)
	}
	return uint8(bpfDeliveryDELIVER_LINK)
}

// IndexOf is a binding's key in the index: its inside on its external address.
func IndexOf(key BindingKey, value Binding) BindingIndexKey {
	return BindingIndexKey{
		Compartment:     value.Compartment,
		InternalAddress: value.InternalAddress,
		ExternalAddress: key.Address,
		InternalPort:    value.InternalPort,
		Protocol:        key.Protocol,
	}
}
