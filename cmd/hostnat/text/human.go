package text

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hostnat/hostnat/api"
)

// Bytes is a number of bytes for people: "512 B", "1.5 KiB", "3.0 MiB".
func Bytes(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/1024, "KMGTPE"
	for value >= 1023.95 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}

// Seconds is a length of time in its two largest units: "59s", "2h4m".
func Seconds(n uint64) string {
	units := []struct {
		name    string
		seconds uint64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}
	var text strings.Builder
	for i, u := range units {
		if n < u.seconds {
			continue
		}
		fmt.Fprintf(&text, "%d%s", n/u.seconds, u.name)
		if rest := n % u.seconds; i+1 < len(units) && rest >= units[i+1].seconds {
			fmt.Fprintf(&text, "%d%s", rest/units[i+1].seconds, units[i+1].name)
		}
		return text.String()
	}
	return "0s"
}

// Microseconds is a short length of time in three digits: "85µs", "23.4ms", "1.02s".
func Microseconds(n uint32) string {
	d, precision := time.Duration(n)*time.Microsecond, time.Microsecond
	for d/precision >= 1000 {
		precision *= 10
	}
	return d.Round(precision).String()
}

// Answered says how long a side took to answer a handshake; "waits": it has not; empty: it is not known.
func Answered(h api.Handshake, side string) string {
	took := map[string]uint32{api.EndpointSide: h.EndpointMicroseconds, api.OutsideSide: h.OutsideMicroseconds}[side]
	switch {
	case h.Awaits == side:
		return "waits"
	case took == 0:
		return ""
	}
	return Microseconds(took)
}

// HostPort writes an address and a port with * for "any address".
func HostPort(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Addr().IsUnspecified():
		return "*:" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

// HostPorts writes "A:P" or "A:LO-HI" with * for "any address"; "A" alone stays.
func HostPorts(text string) string {
	if ports, found := strings.CutPrefix(text, "0.0.0.0:"); found {
		return "*:" + ports
	}
	return text
}

// Join joins values by commas: "10.0.0.0/8,192.0.2.1/32".
func Join[T any](values []T) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return strings.Join(out, ",")
}

// YesNo is "yes" or "no".
func YesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// OnOff is how settings are given to `set`.
func OnOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// Time is the time of day here, with milliseconds.
func Time(t time.Time) string { return t.Local().Format("15:04:05.000") }
