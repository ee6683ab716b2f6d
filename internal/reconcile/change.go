package reconcile

import (
	"context"
	"maps"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// applied is what is in the kernel, as far as it was told.
type applied struct {
	config config.Config
	report model.Report
}

// Change makes the kernel equal to c, of which a user, or a lease, has changed
// something. If that is mappings alone, nothing else is looked at: what happens
// on the host beside that is for the next Apply to find.
func (k *Kernel) Change(ctx context.Context, c config.Config) (model.Report, error) {
	if k.applied == nil {
		return k.Apply(ctx, c)
	}
	diff := diff.Of(&k.applied.config, &c)
	if !diff.OnlyMappings() {
		return k.changeInside(ctx, c, diff)
	}
	before := *k.applied
	changed, deleted := diff.Mappings.Put(), diff.Mappings.Removed
	if slices.ContainsFunc(slices.Concat(changed, deleted), model.Mapping.IsOneToOne) {
		return k.Apply(ctx, c)
	}
	k.applied = nil // until it is
	report, err := k.changeMappings(before.report, c, changed, deleted)
	if err != nil {
		k.log.Warn("changing mappings or leases failed: everything is applied anew", "error", err)
		return k.Apply(ctx, c)
	}
	k.mu.Lock()
	k.config = c.Clone()
	k.mu.Unlock()
	k.applied = &applied{config: c, report: report}
	return report, nil
}

// changeMappings tells the data path what mappings have changed, and who has an
// address by DHCP: a mapping may have changed since a client has moved. It returns
// the report on the mappings.
func (k *Kernel) changeMappings(report model.Report, c config.Config, changed, deleted []model.Mapping) (model.Report, error) {
	if err := k.tellLeases(c); err != nil || len(changed)+len(deleted) == 0 {
		return report, err
	}
	put, gone := view{config: c, absent: report.Absent}.changes(changed, deleted)
	if err := k.datapath.ChangeMappings(put, gone); err != nil {
		return report, err
	}
	if err := k.watchLoopback(len(c.Mappings)); err != nil {
		return report, err
	}
	report.Active = maps.Clone(report.Active)
	for _, id := range gone {
		delete(report.Active, id)
	}
	for id := range put {
		report.Active[id] = true
	}
	return report, nil
}

// changes says what ChangeMappings must be told. It needs no look at the host:
// names and ids are the configuration's.
func (v view) changes(changed, deleted []model.Mapping) (put map[uint32]datapath.Mapping, gone []uint32) {
	for _, m := range deleted {
		gone = append(gone, m.ID)
	}
	put = make(map[uint32]datapath.Mapping, len(changed))
	for _, m := range changed {
		if mapping, leads := v.mapping(m); leads {
			put[m.ID] = mapping
		} else {
			gone = append(gone, m.ID)
		}
	}
	return put, gone
}
