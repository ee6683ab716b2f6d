package model

import (
	"fmt"
	"net/netip"
)

// AddrPorts is an address with a run of ports, Low to High inclusive, host byte
// order. Its text is "A:P", or "A:LO-HI" if there are several. A whole address
// has no ports, which are 0 then, and its text is "A".
type AddrPorts struct {
	Address netip.Addr
	Ports   PortRange
}

// SinglePort returns the AddrPorts that is just a.
func SinglePort(a netip.AddrPort) AddrPorts {
	return AddrPorts{Address: a.Addr(), Ports: PortRange{Low: a.Port(), High: a.Port()}}
}

// First returns the address with its lowest port.
func (a AddrPorts) First() netip.AddrPort { return netip.AddrPortFrom(a.Address, a.Ports.Low) }

// Count is how many ports there are, 1 to 65535.
func (a AddrPorts) Count() int { return int(a.Ports.High) - int(a.Ports.Low) + 1 }

// IsRange reports whether there is more than one port.
func (a AddrPorts) IsRange() bool { return a.Ports.High > a.Ports.Low }

// IsAddressOnly reports whether there is the address alone.
func (a AddrPorts) IsAddressOnly() bool { return a.Ports == PortRange{} }

// String returns "A:P", "A:LO-HI" or "A".
func (a AddrPorts) String() string {
	if a.IsAddressOnly() {
		return a.Address.String()
	}
	if !a.IsRange() {
		return a.First().String()
	}
	return fmt.Sprintf("%s-%d", a.First(), a.Ports.High)
}

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (a *AddrPorts) UnmarshalText(text []byte) error {
	address, ports, found := CutPort(string(text))
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return Errorf(Invalid, "%q is not an address", Clip(address)).WithHint("write A:PORT, A:LO-HI or A")
	}
	if !found {
		*a = AddrPorts{Address: parsed}
		return nil
	}
	r, err := ParsePortRange("mapping", ports)
	if err != nil {
		return err
	}
	*a = AddrPorts{Address: parsed, Ports: r}
	return nil
}
