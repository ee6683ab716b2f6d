package kernel

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
)

// What user space has of bpf/observe.h.
type (
	CaptureRecord   = observedCaptureRecord
	CaptureSettings = observedCaptureSettings
	Arrival         = observedArrival
	Fate            = observedFate
)

// What becomes of a packet.
const (
	FateDropped = observedFateFATE_DROPPED
	FateSent    = observedFateFATE_SENT
	FateLeft    = observedFateFATE_LEFT
)

// PacketPrograms are those that packets meet.
type PacketPrograms struct {
	InsideIngress    *ebpf.Program `ebpf:"inside_ingress"`
	BridgeIngress    *ebpf.Program `ebpf:"bridge_ingress"`
	PortIngress      *ebpf.Program `ebpf:"port_ingress"`
	PortEgress       *ebpf.Program `ebpf:"port_egress"`
	OutsideIngress   *ebpf.Program `ebpf:"outside_ingress"`
	OutsideIngressL3 *ebpf.Program `ebpf:"outside_ingress_l3"`
	OutsideEgress    *ebpf.Program `ebpf:"outside_egress"`
	OutsideEgressL3  *ebpf.Program `ebpf:"outside_egress_l3"`
	ReassemblyEnter  *ebpf.Program `ebpf:"reassembly_enter"`
	ReassemblyLeave  *ebpf.Program `ebpf:"reassembly_leave"`
	LoopbackEgress   *ebpf.Program `ebpf:"loopback_egress"`
}

// PacketPrograms returns those of the first object, which belong to it.
func (o *bpfObjects) PacketPrograms() PacketPrograms {
	return PacketPrograms{
		InsideIngress: o.InsideIngress, BridgeIngress: o.BridgeIngress, PortIngress: o.PortIngress, PortEgress: o.PortEgress,
		OutsideIngress: o.OutsideIngress, OutsideIngressL3: o.OutsideIngressL3,
		OutsideEgress: o.OutsideEgress, OutsideEgressL3: o.OutsideEgressL3,
		ReassemblyEnter: o.ReassemblyEnter, ReassemblyLeave: o.ReassemblyLeave, LoopbackEgress: o.LoopbackEgress,
	}
}

func (p *PacketPrograms) close() error {
	return _BpfClose(p.InsideIngress, p.BridgeIngress, p.PortIngress, p.PortEgress, p.OutsideIngress, p.OutsideIngressL3,
		p.OutsideEgress, p.OutsideEgressL3, p.ReassemblyEnter, p.ReassemblyLeave, p.LoopbackEgress)
}

// Observed are the second object's programs, which use the data path's tables and do
// with packets what the first ones do; and they send them to user space, as they came
// and as they go on.
type Observed struct {
	PacketPrograms
	Captures *ebpf.Map `ebpf:"captures"`
	Wanted   *ebpf.Map `ebpf:"wanted_captures"`
	Arrivals *ebpf.Map `ebpf:"arrivals"`
}

var (
	observedOnly   = []string{"arrivals", "captures", "wanted_captures"} // tables that the other object has not
	observedTables = slices.Concat(ownTables, observedOnly)              // those that are not shared with it
)

// LoadObservedSpec reads the embedded object file of the observed programs. It has all
// that the other one has.
func LoadObservedSpec() (*ebpf.CollectionSpec, error) { return loadObserved() }

// OpenObserved loads them, with the data path's tables (Objects.Tables).
func OpenObserved(tables map[string]*ebpf.Map) (*Observed, error) {
	spec, err := loadObserved()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded programs for captures: %w", err)
	}
	o := &Observed{}
	if err := spec.LoadAndAssign(o, &ebpf.CollectionOptions{MapReplacements: sharedTables(spec, tables, observedTables)}); err != nil {
		return nil, fmt.Errorf("loading the programs for captures: %w", err)
	}
	return o, nil
}

// Close lets go of them.
func (o *Observed) Close() error {
	err := o.close()
	if err2 := _BpfClose(o.Captures, o.Wanted, o.Arrivals); err == nil {
		err = err2
	}
	return err
}

// sharedTables are the tables that another object's programs use together with the
// data path's own: all but those named.
func sharedTables(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map, but []string) map[string]*ebpf.Map {
	shared := maps.Clone(tables)
	for _, name := range but {
		delete(shared, name)
	}
	for name, m := range shared {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	return shared
}
