package daemon

import (
	"context"
	"net"
	"time"

	"github.com/hostnat/hostnat/internal/dhcp"
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

// checkedPort says at which port of its bridge a machine is, if that is checked.
func checkedPort(k *reconcile.Kernel) func(network uint32, bridge int, mac net.HardwareAddr) int {
	return func(network uint32, bridge int, mac net.HardwareAddr) int {
		port := host.BridgePort(bridge, mac)
		if port == 0 || !k.WhoIsWhere().IsChecked(network, uint32(port)) {
			return 0
		}
		return port
	}
}

// followEarly hands on what machines have asked DHCP servers before their ports were checked.
func followEarly(ctx context.Context, k *reconcile.Kernel, s *dhcp.Servers) error {
	return k.WhoIsWhere().WatchEarlyQuestions(ctx, func(network uint32, frame []byte, asked time.Time) { s.Early(ctx, network, frame, asked) })
}
