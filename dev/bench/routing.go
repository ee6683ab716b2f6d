package bench

import (
	"context"

	"github.com/hostnat/hostnat/dev/lab"
)

// routing is the host as a plain router: no NAT, no rules, no connection
// tracking. The remote knows the way back, and reaches the endpoint's own
// address in place of a published port.
var routing = setup{name: Routing, build: buildRouting}

func buildRouting(_ context.Context, t *lab.Topology, _ string) (running, error) {
	if err := attachEndpoint(t); err != nil {
		return running{}, err
	}
	return running{}, t.Remote.AddRoute(subnet, lab.HostAddress)
}
