package model

import "net/netip"

// InUse is what holds external ports at the moment.
type InUse struct {
	Mappings  []Mapping
	Bindings  []Binding
	Listeners []Listener
}

// FreePorts chooses count ports in a row out of the ranges that nothing holds
// for the protocol at the address, where 0.0.0.0 is every address, and returns
// the lowest. Ranges that follow on each other are one. Random returns a number
// below n. False: there is no such row.
func (u InUse) FreePorts(p Protocol, at netip.Addr, ranges []PortRange, count int, random func(n int) int) (uint16, bool) {
	free := u.free(p, at, ranges)
	var lows []uint16
	row := 0
	for port := range free {
		if !free[port] {
			row = 0
			continue
		}
		if row++; row >= count {
			lows = append(lows, uint16(port-count+1))
		}
	}
	if len(lows) == 0 {
		return 0, false
	}
	return lows[random(len(lows))], true
}

// Free is how many ports of the ranges nothing holds for the protocol at the address.
func (u InUse) Free(p Protocol, at netip.Addr, ranges []PortRange) (count int) {
	for _, free := range u.free(p, at, ranges) {
		if free {
			count++
		}
	}
	return count
}

// free tells for each port whether it is in the ranges and nothing holds it.
func (u InUse) free(p Protocol, at netip.Addr, ranges []PortRange) []bool {
	free := make([]bool, 1<<16)
	for _, r := range ranges {
		for port := int(r.Low); port <= int(r.High); port++ {
			free[port] = true
		}
	}
	take := func(has Protocol, a AddrPorts) {
		if has == p && AddressesMeet(a.Address, at) {
			clear(free[a.Ports.Low : int(a.Ports.High)+1])
		}
	}
	for i := range u.Mappings {
		m := &u.Mappings[i]
		if m.IsOneToOne() {
			take(p, AddrPorts{Address: m.External.Address, Ports: m.Ports()})
			continue
		}
		take(m.Protocol, m.External)
	}
	for _, b := range u.Bindings {
		take(b.Protocol, SinglePort(b.External))
	}
	for _, l := range u.Listeners {
		take(l.Protocol, SinglePort(l.Address))
	}
	return free
}

// AddressesMeet reports whether something may be sent to both addresses, of which an
// unspecified one stands for all.
func AddressesMeet(a, b netip.Addr) bool { return a == b || a.IsUnspecified() || b.IsUnspecified() }
