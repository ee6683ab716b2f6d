package model

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// AddressRange is a run of IPv4 addresses, both ends included. In text and JSON
// "LO-HI", or "A" for one.
type AddressRange struct {
	Low, High netip.Addr
}

// Contains reports whether the address is in the range.
func (r AddressRange) Contains(a netip.Addr) bool { return !a.Less(r.Low) && !r.High.Less(a) }

// Overlaps reports whether the ranges have an address in common.
func (r AddressRange) Overlaps(other AddressRange) bool {
	return !other.High.Less(r.Low) && !r.High.Less(other.Low)
}

// Without returns what is left of the range without another: none, one or two.
func (r AddressRange) Without(other AddressRange) (left []AddressRange) {
	if !r.Overlaps(other) {
		return []AddressRange{r}
	}
	if r.Low.Less(other.Low) {
		left = append(left, AddressRange{Low: r.Low, High: other.Low.Prev()})
	}
	if other.High.Less(r.High) {
		left = append(left, AddressRange{Low: other.High.Next(), High: r.High})
	}
	return left
}

// Size is how many addresses there are.
func (r AddressRange) Size() int { return int(NumberOf(r.High)-NumberOf(r.Low)) + 1 }

// At returns the i-th address, counted from 0.
func (r AddressRange) At(i int) netip.Addr { return AddressOf(NumberOf(r.Low) + uint32(i)) }

func AddressOf(number uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], number)
	return netip.AddrFrom4(b)
}

// String is "LO-HI", or "A" for one address.
func (r AddressRange) String() string {
	if r.Low == r.High {
		return r.Low.String()
	}
	return r.Low.String() + "-" + r.High.String()
}

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (r *AddressRange) UnmarshalText(text []byte) error {
	parsed, err := ParseAddressRange("address range", string(text))
	if err == nil {
		*r = parsed
	}
	return err
}

// ParseAddressRange reads "LO-HI" or "A". What names the thing for the refusal.
func ParseAddressRange(what, s string) (AddressRange, error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	lo, err := ParseIPv4(what, low)
	if err != nil {
		return AddressRange{}, err
	}
	hi, err := ParseIPv4(what, high)
	if err != nil {
		return AddressRange{}, err
	}
	if hi.Less(lo) {
		return AddressRange{}, Errorf(Invalid, "%s %s ends before it begins", what, Clip(s)).WithHint("write %s-%s", hi, lo)
	}
	return AddressRange{Low: lo, High: hi}, nil
}

func NumberOf(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
