package model

import (
	"net/netip"
	"strconv"
	"strings"
)

// DefaultPorts is the range of dynamic ports on an external address that was
// given without one: all but the well-known ports.
var DefaultPorts = PortRange{Low: 1024, High: 65535}

// String returns "LOW-HIGH".
func (r PortRange) String() string {
	return strconv.Itoa(int(r.Low)) + "-" + strconv.Itoa(int(r.High))
}

// Text is "PORT" if the range is one port, or "LOW-HIGH".
func (r PortRange) Text() string {
	if r.Low == r.High {
		return strconv.Itoa(int(r.Low))
	}
	return r.String()
}

// Overlaps reports whether the ranges have a port in common.
func (r PortRange) Overlaps(other PortRange) bool { return r.Low <= other.High && other.Low <= r.High }

// Without takes out the host's ephemeral ports, from which it talks itself: a
// dynamic port never equals a port of the host. A range that lies in them
// entirely was asked for and is kept.
func (r PortRange) Without(local PortRange) []PortRange {
	var list []PortRange
	if local.Low > r.Low {
		list = append(list, PortRange{Low: r.Low, High: min(r.High, local.Low-1)})
	}
	if local.High < r.High {
		list = append(list, PortRange{Low: max(r.Low, local.High+1), High: r.High})
	}
	if len(list) == 0 {
		return []PortRange{r}
	}
	return list
}

// Size returns how many ports the range has.
func (r PortRange) Size() int { return int(r.High) - int(r.Low) + 1 }

// Contains reports whether the port is in the range.
func (r PortRange) Contains(port uint16) bool { return r.Low <= port && port <= r.High }

// ParsePort reads a port, 1 to 65535. What names the thing that has it.
func ParsePort(what, s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' {
		return 0, Errorf(Invalid, "%s port %q is not a port", what, Clip(s)).WithHint("use a number from 1 to 65535")
	}
	return uint16(n), nil
}

// ParsePortRange reads "PORT" or "LOW-HIGH".
func ParsePortRange(what, s string) (PortRange, error) {
	lowText, highText, isRange := strings.Cut(s, "-")
	low, err := ParsePort(what, lowText)
	if err != nil {
		return PortRange{}, err
	}
	if !isRange {
		return PortRange{Low: low, High: low}, nil
	}
	high, err := ParsePort(what, highText)
	if err != nil {
		return PortRange{}, err
	}
	if low > high {
		return PortRange{}, Errorf(Invalid, "%s port range %s is reversed", what, s).WithHint("write %d-%d", high, low)
	}
	return PortRange{Low: low, High: high}, nil
}

// ParseExternalAddress reads "A" or "A:LO-HI": an address of a NAT and the
// dynamic ports that it may use there.
func ParseExternalAddress(s string) (ExternalAddress, error) {
	host, ports, hasPorts := CutPort(s)
	a, err := ParseIPv4("external address", host)
	if err != nil {
		return ExternalAddress{}, err
	}
	if err := UsableOutside("external address", a); err != nil {
		return ExternalAddress{}, err
	}
	if !hasPorts {
		return ExternalAddress{Address: a, Ports: DefaultPorts}, nil
	}
	r, err := ParsePortRange("external", ports)
	return ExternalAddress{Address: a, Ports: r}, err
}

// CutPort splits "HOST:PORT" at the last colon and takes the brackets off an
// IPv6 host, so that it is refused as what it is.
func CutPort(s string) (host, port string, found bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
		return s, "", false
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]"), s[i+1:], true
}
