package config

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// setIsolation changes whom the endpoints reach.
func setIsolation(n *model.Network, text string) error {
	i := n.Isolation
	if err := i.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if always := n.Type.Isolation(); always != "" && i != always {
		return model.Errorf(model.Conflict, "the endpoints of network %q are in a compartment each, and cannot reach each other or another network", n.Name).
			WithHint("leave it at endpoint, or create a network in another --compartment")
	}
	n.Isolation = i
	return nil
}

// setPortSecurity turns the checks of ports on or off that other tools plug in.
func setPortSecurity(n *model.Network, text string) error {
	s := n.PortSecurity
	if err := s.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if n.PerEndpoint() && !s.On() {
		return model.Errorf(model.Conflict, "network %q has no switch that anything could be plugged into", n.Name).
			WithHint("leave port-security on; its endpoints are always checked")
	}
	n.PortSecurity = s
	return nil
}

// The limits of a network's MTU (bytes): every host takes 576 (RFC 791), and no
// IPv4 packet is longer than 65535.
const (
	minMTU = 576
	maxMTU = 65535
)

// useSpec takes the settings that the network is created with.
func useSpec(n *model.Network, spec NetworkSpec) error {
	values := map[string]string{
		"dhcp": spec.DHCP, "dns": spec.DNS, "lease-time": spec.LeaseTime, "mtu": spec.MTU,
		"isolation": spec.Isolation, "port-security": spec.PortSecurity,
		"ntp": strings.Join(spec.NTP, ","), "range": strings.Join(spec.Ranges, ","), "exclude": strings.Join(spec.Exclude, ","),
	}
	for _, key := range []string{"isolation", "port-security", "dhcp", "dns", "lease-time", "mtu", "ntp", "range", "exclude"} {
		if values[key] == "" {
			continue
		}
		if err := networkSettings[key](n, values[key]); err != nil {
			return prefixed(key, err)
		}
	}
	return nil
}

func parseMTU(s string, to *int) error {
	if s == "auto" {
		*to = 0
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < minMTU || v > maxMTU {
		return model.Errorf(model.Invalid, "MTU %q is not %d to %d", model.Clip(s), minMTU, maxMTU).WithHint("give bytes, or auto to follow the outgoing interface")
	}
	*to = v
	return nil
}

func parseServers(s string, subnet netip.Prefix) ([]netip.Addr, error) {
	const most = 8
	if s == "none" || s == "" {
		return nil, nil
	}
	var list []netip.Addr
	for text := range strings.SplitSeq(s, ",") {
		a, err := parseServer(text, subnet)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	if len(list) > most {
		return nil, model.Errorf(model.Invalid, "%d servers are given", len(list)).WithHint("give up to %d", most)
	}
	return list, nil
}

// parseServer reads the address of a machine that clients are told of.
func parseServer(text string, subnet netip.Prefix) (netip.Addr, error) {
	a, err := model.ParseStation("server", text)
	if err == nil && subnet.Contains(a) {
		err = checkHostAddress("server", a, subnet)
	}
	return a, err
}
