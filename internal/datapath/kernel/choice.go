package kernel

import "net/netip"

// What the programs choose by a hash, for whoever has to choose the same.

// Mix is mix() of bpf/maps.h.
func Mix(value uint32) uint32 {
	value = (value ^ value>>16) * 0x45d9f3b
	return value ^ value>>16
}

// PairedAddress is which of so many external addresses an internal one is paired with
// first: bpf/pool.h.
func PairedAddress(compartment uint32, internal netip.Addr, addresses int) int {
	return int(Mix(AddressOf(internal)^compartment) % uint32(addresses))
}

// ChosenTarget is which of a mapping's targets a remote gets: bpf/mapping.h. target returns
// the address and first port of each.
func ChosenTarget(remote netip.Addr, targets int, target func(i int) (netip.Addr, uint16)) int {
	highest, best := uint32(0), 0
	for i := range targets {
		address, port := target(i)
		weight := Mix(Mix(AddressOf(remote)) ^ AddressOf(address) ^ uint32(PortOf(port)))
		if weight >= highest {
			highest, best = weight, i
		}
	}
	return best
}
