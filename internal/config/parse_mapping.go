package config

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// and is what two ranges that overlap have in common.
func and(r model.PortRange, other model.PortRange) model.PortRange {
	return model.PortRange{Low: max(r.Low, other.Low), High: min(r.High, other.High)}
}

// portCount is how many ports in words: "1 port".
func portCount(n int) string {
	if n == 1 {
		return "1 port"
	}
	return strconv.Itoa(n) + " ports"
}

// parseMappingExternal reads "", "A", "PORTS", "*:PORTS" or "A:PORTS", where
// PORTS is a port or "LO-HI". Without an address, the result's is 0.0.0.0: any
// address of the host. Without ports, the result's are 0: they have to be
// chosen. A loopback address is for the host's own programs alone.
func parseMappingExternal(s string) (model.AddrPorts, error) {
	if s == "" {
		return model.AddrPorts{Address: netip.IPv4Unspecified()}, nil
	}
	host, ports, hasPorts := model.CutPort(s)
	switch {
	case hasPorts:
	case model.LooksLikeAddress(s) || strings.Contains(s, ":"):
		a, err := parseMappingAddress(host)
		if err == nil && a.IsLoopback() {
			err = model.Errorf(model.Invalid, "external %s has no port", model.Clip(s)).WithHint("a port on loopback is not chosen: write %s:PORT", a)
		}
		return model.AddrPorts{Address: a}, err
	default:
		host, ports = "*", s
	}
	a, err := parseMappingAddress(host)
	if err != nil {
		return model.AddrPorts{}, err
	}
	r, err := model.ParsePortRange("external", ports)
	return model.AddrPorts{Address: a, Ports: r}, err
}

func parseMappingAddress(s string) (netip.Addr, error) {
	if s == "*" || s == "0.0.0.0" {
		return netip.IPv4Unspecified(), nil
	}
	a, err := model.ParseIPv4("external address", s)
	if err != nil {
		return netip.Addr{}, err
	}
	if a.IsLoopback() {
		return a, nil // the host's own programs alone
	}
	return a, model.UsableOutside("external address", a)
}
