package kernel

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Trial is as much of a DryRun as answers where a packet would go that comes in
// on a link: few programs, since loading them takes most of the time.
type Trial struct {
	InsideIngress  *ebpf.Program `ebpf:"inside_ingress"`
	PortIngress    *ebpf.Program `ebpf:"port_ingress"`
	BridgeIngress  *ebpf.Program `ebpf:"bridge_ingress"`
	OutsideIngress *ebpf.Program `ebpf:"outside_ingress"`
	Flows          *ebpf.Map     `ebpf:"flows"`
}

// OpenTrial loads them, with the data path's tables (Objects.Tables).
func OpenTrial(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) (*Trial, error) {
	options, err := dryRunOptions(spec, tables)
	if err != nil {
		return nil, err
	}
	t := &Trial{}
	if err := spec.LoadAndAssign(t, options); err != nil {
		return nil, fmt.Errorf("loading the programs for a trial: %w", err)
	}
	return t, nil
}

// Close lets go of them.
func (t *Trial) Close() error {
	return _BpfClose(t.InsideIngress, t.PortIngress, t.BridgeIngress, t.OutsideIngress, t.Flows)
}

// dryRunOptions sets dry_run in spec and says which tables its programs share.
func dryRunOptions(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) (*ebpf.CollectionOptions, error) {
	if err := spec.Variables["dry_run"].Set(true); err != nil {
		return nil, fmt.Errorf("setting the data path's dry_run: %w", err)
	}
	return &ebpf.CollectionOptions{MapReplacements: sharedTables(spec, tables, ownTables)}, nil
}
