package datapath

import (
	"fmt"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// adoptSettings makes changed settings of NATs count for their live sessions.
func (d *Datapath) adoptSettings(changed map[uint32]bool) error {
	if len(changed) == 0 {
		return nil
	}
	return kernel.EachSession(&d.objects, func(_ *kernel.SessionKey, s *kernel.Session) bool { return changed[s.Nat] }, kernel.AdoptSession)
}

// changedNATs returns those whose settings differ from what the kernel has. New
// ones have no sessions yet.
func (d *Datapath) changedNATs(want map[uint32]kernel.Nat) (map[uint32]bool, error) {
	changed := make(map[uint32]bool)
	err := kernel.Each(d.objects.Nats, func(id *uint32, have *kernel.Nat) error {
		if n, ok := want[*id]; ok && n != *have {
			changed[*id] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the NATs: %w", err)
	}
	return changed, nil
}
