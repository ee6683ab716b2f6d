package datapath

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// Loopback is where LoopbackEgress belongs: the interface has this number in
// every network namespace.
var Loopback = Attachment{Interface: 1, Hook: LoopbackEgress}

// published are the indices of the map of that name, as in bpf/ip4_loopback.h.
var published = []model.Protocol{model.TCP, model.UDP}

// publishedPorts are the ports of a protocol that some mapping has, on whatever
// address.
func (t *mappingTable) publishedPorts(p model.Protocol) (ports kernel.PortBits) {
	for at, owners := range t.owners {
		if at.Protocol != uint8(p) {
			continue
		}
		for i, word := range owners.taken.Word {
			ports.Word[i] |= word
		}
	}
	return ports
}

// publish tells the data path which ports of the host's own programs' packets it
// has to look at. What is there already is not written again.
func (d *Datapath) publish(mappings *mappingTable) error {
	for i, p := range published {
		index, want := uint32(i), mappings.publishedPorts(p)
		var have kernel.PortBits
		if err := d.objects.Published.Lookup(&index, &have); err != nil {
			return fmt.Errorf("reading the published ports: %w", err)
		}
		if have == want {
			continue
		}
		if err := kernel.Update(d.objects.Published, &index, &want, ebpf.UpdateAny); err != nil {
			return fmt.Errorf("writing the published ports: %w", err)
		}
	}
	return nil
}

// formerHostHooks are the pins of programs at the root of cgroup v2, by which
// versions of before let the host's programs reach mappings.
var formerHostHooks = []string{
	"host-connect4", "host-connect6", "host-sendmsg4", "host-sendmsg6", "host-recvmsg4", "host-recvmsg6",
	"host-getpeername4", "host-getpeername6",
}

// removeFormerHostHooks takes these programs off.
func (d *Datapath) removeFormerHostHooks() error {
	var errs error
	for _, name := range formerHostHooks {
		if err := d.held.unpin(filepath.Join(linkDir(d.dir), name)); err != nil {
			errs = errors.Join(errs, fmt.Errorf("taking off %s of a version of before: %w", name, err))
		}
	}
	return errs
}
