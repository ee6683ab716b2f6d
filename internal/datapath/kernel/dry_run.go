package kernel

import (
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
)

// DryRun is a second copy of the programs, attached to nothing, which uses the
// data path's tables and changes none of them: run with a packet
// (BPF_PROG_TEST_RUN) it decides what would become of it. It has a packet's
// context of its own, where its reason and keys can be read afterwards.
//
// What only a write would show it does not know: that a table is full, or that
// another CPU is faster.
type DryRun struct{ Objects }

// ownTables are those that a dry run does not share.
var ownTables = []string{"flows", "route_works"}

// OpenDryRun loads the programs of spec once more, with the data path's tables
// (Objects.Tables).
func OpenDryRun(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) (*DryRun, error) {
	options, err := dryRunOptions(spec, tables)
	if err != nil {
		return nil, err
	}
	r := &DryRun{}
	if err := spec.LoadAndAssign(&r.Objects, options); err != nil {
		return nil, fmt.Errorf("loading the programs for dry runs: %w", err)
	}
	return r, nil
}

// Tables returns the maps by their names in the object.
func (o *bpfObjects) Tables() map[string]*ebpf.Map {
	fields, named := reflect.ValueOf(&o.bpfMaps).Elem(), make(map[string]*ebpf.Map)
	for i := range fields.NumField() {
		if m, ok := fields.Field(i).Interface().(*ebpf.Map); ok {
			named[fields.Type().Field(i).Tag.Get("ebpf")] = m
		}
	}
	return named
}
