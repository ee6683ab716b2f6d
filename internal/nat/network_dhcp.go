package nat

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// DefaultLeaseTime is how long a lease of a network without a setting lasts.
// It is short enough for clients to follow when a network moves to another
// subnet, and long enough for the daemon to be away.
const DefaultLeaseTime Seconds = 3600

// The limits of a network's MTU (bytes): every host takes 576 (RFC 791), and no
// IPv4 packet is longer than 65535.
const (
	minMTU = 576
	maxMTU = 65535
)

// useSpec takes the settings that the network is created with.
func (n *Network) useSpec(spec NetworkSpec) error {
	values := map[string]string{
		"dhcp": spec.DHCP, "dns": spec.DNS, "lease-time": spec.LeaseTime, "mtu": spec.MTU,
		"isolation": spec.Isolation,
		"ntp":       strings.Join(spec.NTP, ","), "range": strings.Join(spec.Ranges, ","), "exclude": strings.Join(spec.Exclude, ","),
	}
	for _, key := range []string{"isolation", "dhcp", "dns", "lease-time", "mtu", "ntp", "range", "exclude"} {
		if values[key] == "" {
			continue
		}
		if err := networkSettings[key](n, values[key]); err != nil {
			return prefixed(key, err)
		}
	}
	return nil
}

// LeaseDuration is how long a lease lasts.
func (n Network) LeaseDuration() Seconds {
	if n.LeaseTime == 0 {
		return DefaultLeaseTime
	}
	return n.LeaseTime
}

// LinkMTU is the MTU (bytes) of the network's links: what was given, or that of
// the host's outgoing interface.
func (n Network) LinkMTU(outgoing int) int {
	if n.MTU != 0 {
		return n.MTU
	}
	return outgoing
}

// Dynamic returns the addresses from which clients of the DHCP server get
// theirs: the network's ranges, or all of the subnet. Exclude and what
// somebody has are still to be left out.
func (n Network) Dynamic() []AddressRange {
	if len(n.Ranges) > 0 {
		return n.Ranges
	}
	return n.Stations()
}

// Stations returns all addresses of the subnet that a station can have, the
// gateway's too.
func (n Network) Stations() []AddressRange {
	return []AddressRange{{Low: n.Subnet.Addr().Next(), High: LastAddress(n.Subnet).Prev()}}
}

// Excludes reports whether an address is kept out of all automatic choice.
func (n Network) Excludes(a netip.Addr) bool {
	return slices.ContainsFunc(n.Exclude, func(r AddressRange) bool { return r.Contains(a) })
}

func (n Network) clone() Network {
	n.Routes = slices.Clone(n.Routes)
	n.NTP, n.Ranges, n.Exclude = slices.Clone(n.NTP), slices.Clone(n.Ranges), slices.Clone(n.Exclude)
	return n
}

func parseMTU(s string, to *int) error {
	if s == "auto" {
		*to = 0
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < minMTU || v > maxMTU {
		return Errorf(Invalid, "MTU %q is not %d to %d", clip(s), minMTU, maxMTU).WithHint("give bytes, or auto to follow the outgoing interface")
	}
	*to = v
	return nil
}

func parseServers(s string) ([]netip.Addr, error) {
	const most = 8
	if s == "none" || s == "" {
		return nil, nil
	}
	var list []netip.Addr
	for text := range strings.SplitSeq(s, ",") {
		a, err := ParseIPv4("server", text)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	if len(list) > most {
		return nil, Errorf(Invalid, "%d servers are given", len(list)).WithHint("give up to %d", most)
	}
	return list, nil
}

// HostLabel makes the name that a client gives itself into one DNS label in
// lower case, or "" if nothing of it can be used. Of "VM1.lab.example" the
// first label counts: the domain is the network's.
func HostLabel(s string) string {
	first, _, _ := strings.Cut(strings.ToLower(s), ".")
	if !IsHostLabel(first) || looksLikeAddress(first) || reservedLabels[first] {
		return ""
	}
	return first
}

// reservedLabels are names that clients cannot have: they mean something else.
var reservedLabels = map[string]bool{"localhost": true, "host": true, "gateway": true, "wpad": true, "isatap": true}
