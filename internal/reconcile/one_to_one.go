package reconcile

import (
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// A mapping of a whole address is three things to the data path: a mapping of
// all TCP ports, one of all UDP ports, and one of the address for what has no
// ports. Each needs an id of its own, that of its allow list too. Package nat
// counts ids from 1; these bits it does not reach.
const (
	oneToOneTCP uint32 = 1 << 30
	oneToOneUDP uint32 = 1 << 31
)

// addOneToOne adds the mapping of that id, whose only target may be a discovered
// endpoint's.
func addOneToOne(c *datapath.Config, id uint32, m datapath.Mapping) {
	to := m.Targets[0]
	c.OneToOne[id] = datapath.OneToOne{
		NAT: m.NAT, Compartment: m.Compartment, Network: to.Network,
		External: m.External.Address, Internal: to.Internal.Address, From: m.From,
	}
	all := model.Mapping{Protocol: model.AnyProtocol}.Ports()
	m.External.Ports, to.Internal.Ports = all, all
	m.Targets = []datapath.Target{to}
	for bit, p := range map[uint32]model.Protocol{oneToOneTCP: model.TCP, oneToOneUDP: model.UDP} {
		m.Protocol = p
		c.Mappings[id|bit] = m
	}
}

// isServed reports whether the data path has the mapping and packets for it come.
func (v view) isServed(c datapath.Config, m model.Mapping) bool {
	if m.IsOneToOne() {
		_, told := c.OneToOne[m.ID]
		return told && v.has(m.External.Address)
	}
	_, told := c.Mappings[m.ID]
	return told
}

// withoutOneToOne takes the ports of addresses away that are mapped as a whole:
// nobody else is given one, and who has the address leaves with it. If that is
// all of them, they stay as they are: the others are refused for want of ports.
func (v view) withoutOneToOne(addresses []datapath.PoolAddress) []datapath.PoolAddress {
	var free, mapped []datapath.PoolAddress
	for _, a := range addresses {
		if _, is := v.oneToOneOf(a); is {
			mapped = append(mapped, datapath.PoolAddress{Address: a.Address})
		} else {
			free = append(free, a)
		}
	}
	if len(free) == 0 {
		return addresses
	}
	return append(free, mapped...)
}

func (v view) oneToOneOf(a datapath.PoolAddress) (model.Mapping, bool) {
	for _, m := range v.config.Mappings {
		if m.IsOneToOne() && m.External.Address == a.Address {
			return m, true
		}
	}
	return model.Mapping{}, false
}

// oneToOneProblems says what is wrong with whole addresses: those that the host
// does not have, and NATs that have no other.
func (v view) oneToOneProblems() (problems []string) {
	for _, m := range v.config.Mappings {
		if m.IsOneToOne() && !v.has(m.External.Address) {
			problems = append(problems, fmt.Sprintf("external address %s of mapping %d is on no interface of the host", m.External.Address, m.ID))
		}
	}
	for _, n := range v.config.NATs {
		for _, p := range v.pools(n) {
			if len(p.Addresses) == 0 || p.Source.IsValid() { // routes need not choose it
				continue
			}
			if m, mapped := v.oneToOneOf(p.Addresses[0]); mapped { // then all are
				problems = append(problems, fmt.Sprintf("NAT %s has no port to give out on %s, which is mapped as a whole (mapping %d)", n.Name, m.External.Address, m.ID))
			}
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}
