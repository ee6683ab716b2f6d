package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/model"
)

// adoptSession lets a session take its NAT's settings as they are now, and sets
// its alarm if it has none or one that is too late. One that is due ends; one
// that is gone already is no error.
func (d *Datapath) adoptSession(key *bpfSessionKey) error {
	const noMemory = 2 // TCX_DROP
	verdict, err := d.objects.AdoptSession.Run(&ebpf.RunOptions{Data: keyFrame(key)})
	if err != nil {
		return fmt.Errorf("changing session %v: %w", toAddrPort(key.InternalAddress, key.InternalPort), err)
	}
	if verdict == noMemory {
		return model.Errorf(model.Unavailable, "the kernel has no memory for the clock of session %v",
			toAddrPort(key.InternalAddress, key.InternalPort)).WithHint("free some memory")
	}
	return nil
}

// adoptSettings makes changed settings of NATs count for their live sessions.
func (d *Datapath) adoptSettings(changed map[uint32]bool) error {
	if len(changed) == 0 {
		return nil
	}
	return d.eachSession(func(_ *bpfSessionKey, s *bpfSession) bool { return changed[s.Nat] }, d.adoptSession)
}

// changedNATs returns those whose settings differ from what the kernel has. New
// ones have no sessions yet.
func (d *Datapath) changedNATs(want map[uint32]bpfNat) (map[uint32]bool, error) {
	changed := make(map[uint32]bool)
	err := each(d.objects.Nats, func(id *uint32, have *bpfNat) error {
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
