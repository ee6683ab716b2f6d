package datapath

import "slices"

// Moves are the programs that are not where the configuration wants them.
type Moves struct{ Attach, Detach []Attachment }

// moves compares where programs belong with where they are pinned, or for a part
// with where they belonged before.
func (d *Datapath) moves(a *applied, w work) (Moves, error) {
	want := placement(w.is, len(a.mappings.all) > 0)
	if w.was != nil {
		have := placement(*w.was, w.had)
		return Moves{without(want, have), without(have, want)}, nil
	}
	have, err := d.Attachments()
	if err != nil {
		return Moves{}, err
	}
	return Moves{without(want, have), without(have, want)}, nil
}

// without returns what is in list and not in other.
func without(list, other []Attachment) (rest []Attachment) {
	has := make(map[Attachment]bool, len(other))
	for _, a := range other {
		has[a] = true
	}
	for _, a := range list {
		if !has[a] {
			rest = append(rest, a)
		}
	}
	return rest
}

// Attachments says which program belongs on which interface.
func (c Config) Attachments() []Attachment { return placement(c, len(c.Mappings) > 0) }

func placement(c Config, mapped bool) []Attachment {
	var list []Attachment
	add := func(ifindex uint32, hooks ...Hook) {
		for _, h := range hooks {
			list = append(list, Attachment{Interface: ifindex, Hook: h})
		}
	}
	for ifindex, i := range c.Insides {
		switch {
		case i.PointToPoint:
			add(ifindex, PointToPointIngress, InsideIngress)
		case i.Bridge:
			add(ifindex, BridgeEgress, BridgeIngress)
		case i.Port:
			add(ifindex, PortIngress, PortEgress)
		default:
			add(ifindex, InsideIngress, PortEgress)
		}
	}
	if c.Reassembly != 0 {
		add(c.Reassembly, ReassemblyEnter, ReassemblyLeave)
	}
	if mapped {
		list = append(list, Loopback)
	}
	for ifindex, o := range c.Outsides {
		if o.NoEthernet {
			add(ifindex, OutsideIngressL3, OutsideEgressL3)
		} else {
			add(ifindex, OutsideIngress, OutsideEgress)
		}
	}
	return stampFirst(list)
}

// stampFirst is a list in which what looks at frames comes before what goes by their
// stamps, so that nothing is taken for unchecked meanwhile.
func stampFirst(list []Attachment) []Attachment {
	late := func(h Hook) int {
		if h == BridgeIngress || h == PortEgress {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b Attachment) int { return late(a.Hook) - late(b.Hook) })
	return list
}
