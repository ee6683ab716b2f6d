package model

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// ParseMAC reads an Ethernet address in any usual notation. Multicast,
// broadcast and all-zero addresses are refused: no station has one.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	switch {
	case err != nil || len(hw) != 6:
		return "", Errorf(Invalid, "MAC %q is not an Ethernet address", Clip(s)).WithHint("write it like 02:42:ac:10:01:02")
	case hw[0]&1 != 0:
		return "", Errorf(Invalid, "MAC %s is a multicast address", hw).WithHint("use one whose first byte is even")
	case hw.String() == "00:00:00:00:00:00":
		return "", Errorf(Invalid, "MAC %s is all zero", hw).WithHint("use one like 02:42:ac:10:01:02")
	}
	return MAC(hw.String()), nil
}

// GatewayMAC is the host vNIC's address on a bridge of ours: fixed for the
// network's life, since endpoints remember it. An adopted bridge has its own.
func (n Network) GatewayMAC() MAC {
	return MAC(fmt.Sprintf("02:68:6e:%02x:%02x:%02x", byte(n.ID>>16)|0x80, byte(n.ID>>8), byte(n.ID)))
}

// DeriveMAC returns the locally administered MAC of an endpoint that was given
// none. Inside one compartment, different addresses give different MACs.
func DeriveMAC(compartment uint32, a netip.Addr) MAC {
	// An odd multiplier spreads small ids over the four bytes; the exclusive
	// or keeps addresses apart.
	b := a.As4()
	low := binary.BigEndian.Uint32(b[:]) ^ (compartment * 0x9e3779b1)
	hw := binary.BigEndian.AppendUint32(net.HardwareAddr{0x02, 0x68}, low)
	return MAC(net.HardwareAddr(hw).String())
}
