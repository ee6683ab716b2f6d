package daemon

import (
	"net"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/reconcile"
)

// portOf says at which port of its network's switch a machine is: by the data path's table
// of who is where, in which nobody takes another's place. Where ports are not checked, the
// bridge alone knows.
func portOf(k *reconcile.Kernel) func(network uint32, bridge int, mac net.HardwareAddr) int {
	return func(network uint32, bridge int, mac net.HardwareAddr) int {
		if port := k.WhoIsWhere().PortOf(network, model.MAC(mac.String())); port != 0 {
			return int(port)
		}
		return host.BridgePort(bridge, mac)
	}
}
