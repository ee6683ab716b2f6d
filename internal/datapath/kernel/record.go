package kernel

// Why a session has ended (bpf/event_types.h).
const (
	EndTimeout       = bpfEndCauseEND_TIMEOUT
	EndByHand        = bpfEndCauseEND_BY_HAND
	EndConfiguration = bpfEndCauseEND_CONFIGURATION
	EndAddressLost   = bpfEndCauseEND_ADDRESS_LOST
	EndRouteChanged  = bpfEndCauseEND_ROUTE_CHANGED
	EndPressure      = bpfEndCauseEND_PRESSURE
	EndTakenOver     = bpfEndCauseEND_TAKEN_OVER
	EndNoMemory      = bpfEndCauseEND_NO_MEMORY
)

// Of which ring events were lost, in lost_events.
const (
	LostEvent = uint32(bpfLostKindLOST_EVENT)
	LostDrop  = uint32(bpfLostKindLOST_DROP)
)

var programs = map[Program]string{
	bpfProgramPROGRAM_INSIDE_INGRESS:   "inside_ingress",
	bpfProgramPROGRAM_BRIDGE_INGRESS:   "bridge_ingress",
	bpfProgramPROGRAM_PORT_INGRESS:     "port_ingress",
	bpfProgramPROGRAM_OUTSIDE_INGRESS:  "outside_ingress",
	bpfProgramPROGRAM_OUTSIDE_EGRESS:   "outside_egress",
	bpfProgramPROGRAM_REASSEMBLY_ENTER: "reassembly_enter",
	bpfProgramPROGRAM_REASSEMBLY_LEAVE: "reassembly_leave",
	bpfProgramPROGRAM_LOOPBACK_EGRESS:  "loopback_egress",
	bpfProgramPROGRAM_PORT_EGRESS:      "port_egress",
}

// String returns the program's name in the object file; on links without Ethernet
// the program's name there has "_l3" at its end.
func (p Program) String() string { return programs[p] }

// whole reports whether a record is not being written just now, and not empty.
func whole(serial, check uint64) bool { return serial != 0 && serial == check }

// EachDrop calls visit for every packet that the flight recorder has, in no order.
func EachDrop(o *Objects, visit func(*DropRecord)) error {
	return Each(o.DropRecords, func(_ *uint32, r *DropRecord) error {
		if whole(r.Serial, r.Check) {
			visit(r)
		}
		return nil
	})
}

// EachEnd calls visit for every session that the flight recorder has, in no order.
func EachEnd(o *Objects, visit func(*EndRecord)) error {
	return Each(o.EndRecords, func(_ *uint32, r *EndRecord) error {
		if whole(r.Serial, r.Check) {
			visit(r)
		}
		return nil
	})
}
