package reconcile

import (
	"cmp"
	"context"
	"strconv"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// Refusals returns how many frames were refused at plugged-in ports. A port that is
// gone has its number for a name.
func (k *Kernel) Refusals(ctx context.Context) ([]model.PortRefusals, error) {
	list, err := k.datapath.Refusals()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	links, err := k.links.look(ctx)
	if err != nil {
		return nil, err
	}
	byIndex := linkNames(links)
	var out []model.PortRefusals
	for _, r := range list {
		out = append(out, model.PortRefusals{Interface: linkName(byIndex, r.Port), Reason: r.Reason.String(), Frames: r.Count})
	}
	return out, nil
}

// EventsLost is how many events were not delivered, since the kernel's rings were full
// or a watcher was too slow.
func (k *Kernel) EventsLost() uint64 { return k.events.eventsLost() }

// linkNames are the names of links by their numbers.
func linkNames(links []host.Link) map[uint32]string {
	byIndex := make(map[uint32]string, len(links))
	for _, l := range links {
		byIndex[uint32(l.Index)] = l.Name
	}
	return byIndex
}

// linkName is a link's name among these; of one that is gone its number.
func linkName(names map[uint32]string, index uint32) string {
	return cmp.Or(names[index], strconv.FormatUint(uint64(index), 10))
}
