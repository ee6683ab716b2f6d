package reconcile

import (
	"errors"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// settlePorts undoes what a machine may have done to others from a port between the moment
// that it was plugged in and the one that the port is checked from: the bridge forgets that
// MACs are there which others have, and who believes that the gateway is there is told better.
// What else it may have said goes wrong within seconds by itself, since nothing of it gets
// through any more. The machine's own MAC stays known: by it the machine keeps its name, and its
// MAC when it is attached.
func (k *Kernel) settlePorts(networks []model.Network, c datapath.Config, attached []datapath.Attachment) {
	told := make(map[uint32]bool) // networks
	for _, a := range attached {
		inside, known := c.Insides[a.Interface]
		if a.Hook != datapath.PortIngress || !known || c.Networks[inside.Network].Unguarded {
			continue
		}
		err := host.ForgetLearnt(int(a.Interface), func(mac model.MAC) bool {
			port := k.datapath.PortOf(inside.Network, mac)
			return port != 0 && port != a.Interface
		})
		i := slices.IndexFunc(networks, func(n model.Network) bool { return n.ID == inside.Network })
		if i >= 0 && !told[inside.Network] {
			told[inside.Network] = true
			err = errors.Join(err, host.AnnounceGateway(networks[i].Bridge, networks[i].Gateway4()))
		}
		if err != nil { // it may have gone again
			k.log.Warn("what a port was used for before it was checked", "interface", a.Interface, "error", err)
		}
	}
}
