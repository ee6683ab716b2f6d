package export

import (
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// Destination is where events are sent.
type Destination struct {
	Kind    string // ipfix or syslog
	Network string // udp, tcp or unixgram
	Address string // ADDRESS:PORT, or a socket's path
}

// String is how the destination was asked for, with its port.
func (d Destination) String() string { return strings.TrimSuffix(d.Network, "gram") + ":" + d.Address }

// kinds are the flags, with the port of each scheme; a path has none.
var kinds = map[string]struct {
	ports   map[string]uint16
	example string
}{
	"ipfix":  {map[string]uint16{"udp": 4739, "tcp": 4739}, "udp:192.0.2.9"},
	"syslog": {map[string]uint16{"udp": 514, "tcp": 601, "unix": 0}, "udp:192.0.2.9 or unix:/dev/log"},
}

// Parse reads udp:ADDRESS[:PORT], tcp:ADDRESS[:PORT] and, of syslog, unix:PATH. kind is
// ipfix or syslog, the flag's name.
func Parse(kind, text string) (Destination, error) {
	refuse := func(format string, args ...any) (Destination, error) {
		args = append([]any{kind, model.Clip(text)}, args...)
		return Destination{}, model.Errorf(model.Invalid, "--%s %q "+format, args...).WithHint("use %s, say", kinds[kind].example)
	}
	network, rest, _ := strings.Cut(text, ":")
	port, known := kinds[kind].ports[network]
	switch {
	case !known && kind == "syslog":
		return refuse("does not begin with udp:, tcp: or unix:")
	case !known:
		return refuse("does not begin with udp: or tcp:")
	case network == "unix" && !filepath.IsAbs(rest):
		return refuse("has no path that begins with a slash")
	case network == "unix":
		return Destination{kind, "unixgram", rest}, nil
	}
	at, err := netip.ParseAddrPort(rest)
	if err != nil {
		a, err := netip.ParseAddr(strings.Trim(rest, "[]"))
		if err != nil {
			return refuse("has no IP address with or without a port; names are not looked up")
		}
		at = netip.AddrPortFrom(a, port)
	}
	a := at.Addr().Unmap()
	switch {
	case at.Port() == 0:
		return refuse("has the port 0")
	case a.IsLinkLocalUnicast() || a.Zone() != "":
		return refuse("is an address of one link alone")
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return refuse("is no address of one machine")
	}
	return Destination{kind, network, netip.AddrPortFrom(a, at.Port()).String()}, nil
}
