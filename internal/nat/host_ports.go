package nat

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// HostPorts is an address or a name with a run of ports, Low to High inclusive,
// host byte order. Its text is "H:P" or "H:LO-HI"; an IPv6 address is in
// brackets.
type HostPorts struct {
	Host  string // address, name of an endpoint, or name to look up
	Ports PortRange
}

// Address returns Host if it is an address; not valid if it is a name.
func (h HostPorts) Address() netip.Addr {
	a, err := netip.ParseAddr(h.Host)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// Port returns the port that is offset places above the lowest one.
func (h HostPorts) Port(offset int) uint16 { return h.Ports.Low + uint16(offset) }

// String returns "H:P" or "H:LO-HI".
func (h HostPorts) String() string {
	first := net.JoinHostPort(h.Host, strconv.Itoa(int(h.Ports.Low)))
	if h.Ports.High == h.Ports.Low {
		return first
	}
	return fmt.Sprintf("%s-%d", first, h.Ports.High)
}

// MarshalText encodes as String does.
func (h HostPorts) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (h *HostPorts) UnmarshalText(text []byte) error {
	parsed, err := parseHostPorts("proxy", string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}
