package nat

import "net/netip"

// InUse is what holds external ports at the moment.
type InUse struct {
	Mappings  []Mapping
	Bindings  []Binding
	Listeners []Listener
}

// FreePort chooses a port out of the ranges that nothing holds for the
// protocol at the address, where 0.0.0.0 is every address. Random returns a
// number below n. False: all are taken.
func (u InUse) FreePort(p Protocol, at netip.Addr, ranges []PortRange, random func(n int) int) (uint16, bool) {
	taken := u.ports(p, at)
	var free []uint16
	for _, r := range ranges {
		for port := int(r.Low); port <= int(r.High); port++ {
			if !taken[uint16(port)] {
				free = append(free, uint16(port))
			}
		}
	}
	if len(free) == 0 {
		return 0, false
	}
	return free[random(len(free))], true
}

func (u InUse) ports(p Protocol, at netip.Addr) map[uint16]bool {
	taken := make(map[uint16]bool)
	add := func(has Protocol, a netip.AddrPort) {
		if has == p && meets(a.Addr(), at) {
			taken[a.Port()] = true
		}
	}
	for _, m := range u.Mappings {
		add(m.Protocol, m.External)
	}
	for _, b := range u.Bindings {
		add(b.Protocol, b.External)
	}
	for _, l := range u.Listeners {
		add(l.Protocol, l.Address)
	}
	return taken
}

// meets reports whether something may be sent to both addresses, of which an
// unspecified one stands for all.
func meets(a, b netip.Addr) bool { return a == b || a.IsUnspecified() || b.IsUnspecified() }
