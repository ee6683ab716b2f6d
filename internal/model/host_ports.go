package model

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
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

// UnmarshalText reads what String writes. Errors are of code Invalid.
func (h *HostPorts) UnmarshalText(text []byte) error {
	parsed, err := ParseHostPorts("proxy", string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}

// ParseHostPorts reads what HostPorts.String writes.
func ParseHostPorts(what, s string) (HostPorts, error) {
	host, ports, found := CutPort(s)
	switch {
	case s == "":
		return HostPorts{}, Errorf(Invalid, "the proxy has no %s", what).WithHint("write HOST:PORT")
	case !found:
		return HostPorts{}, Errorf(Invalid, "%s %q has no port", what, Clip(s)).WithHint("write HOST:PORT; an IPv6 address in brackets")
	case host == "":
		return HostPorts{}, Errorf(Invalid, "%s %q has no host", what, Clip(s)).WithHint("write HOST:PORT")
	}
	return NewHostPorts(what, host, ports)
}

func NewHostPorts(what, host, ports string) (HostPorts, error) {
	r, err := ParsePortRange(what, ports)
	if err != nil {
		return HostPorts{}, err
	}
	host, err = normalHost(what, host)
	return HostPorts{Host: host, Ports: r}, err
}

// normalHost gives a host the one text that it has everywhere: addresses as
// netip writes them (v4-mapped ones as IPv4), names in lower case without the
// final dot. An endpoint's name is compared as it is written.
func normalHost(what, host string) (string, error) {
	if host == AnyHost {
		return host, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String(), nil
	}
	if LooksLikeAddress(host) || !strings.ContainsFunc(host, func(r rune) bool { return r < '0' || r > '9' }) {
		_, err := ParseIPv4(what+" address", host)
		return "", err
	}
	name := strings.TrimSuffix(host, ".")
	return name, CheckHostName(what, name)
}

// CheckHostName takes names of endpoints and of DNS (RFC 1123 section 2.1, and
// the underscores that are in use). A name without a dot may be an endpoint's, and
// so longer than a label.
func CheckHostName(what, name string) error {
	const hint = "use letters, digits, '-', '_' and '.', at most 63 between two dots and 253 in all"
	if name == "" || len(name) > 253 {
		return Errorf(Invalid, "%s %q is not a name", what, Clip(name)).WithHint(hint)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > MaxLabel && label != name || label[0] == '-' {
			return Errorf(Invalid, "%s %q is not a name", what, Clip(name)).WithHint(hint)
		}
	}
	for _, r := range name {
		if !nameRune(r) {
			return Errorf(Invalid, "%s name %q contains %q", what, Clip(name), r).WithHint(hint)
		}
	}
	return nil
}
