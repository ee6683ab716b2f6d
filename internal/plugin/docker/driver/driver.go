package driver

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

// Daemon is what the driver needs of hostnat's API: *api.Client.
type Daemon interface {
	Networks(ctx context.Context) ([]api.Network, error)
	CreateNetwork(ctx context.Context, spec api.NetworkSpec) (api.Network, error)
	DeleteNetwork(ctx context.Context, name string, force bool) error
	Endpoints(ctx context.Context, network string) ([]api.Endpoint, error)
	AttachEndpoint(ctx context.Context, spec api.EndpointSpec) (api.Endpoint, error)
	DetachEndpoint(ctx context.Context, name string) error
	Reservations(ctx context.Context) ([]api.Reservation, error)
	Mappings(ctx context.Context) ([]api.Mapping, error)
	AddMapping(ctx context.Context, spec api.MappingSpec) (api.Mapping, error)
	DeleteMapping(ctx context.Context, id uint32) error
}

// The labels of what the driver makes, beside docker.LabelNetwork, docker.LabelEndpoint
// and docker.LabelHost.
const (
	labelPool  = "docker.pool"  // of a network: the id of its pool, if that is from here
	labelRange = "docker.range" // of such: the part from which containers get addresses
)

// Driver answers Docker's calls.
type Driver struct {
	daemon Daemon
	host   string // where Docker answers: for the follower, which tells the containers' names
	now    func() time.Time

	mu   sync.Mutex                          // one call of IPAM at a time
	held map[string]map[netip.Addr]time.Time // addresses that were given out, and no endpoint has yet, by pool
}

// New returns a driver for the Docker daemon at a host.
func New(d Daemon, host string) *Driver {
	return &Driver{daemon: d, host: host, now: time.Now, held: make(map[string]map[netip.Addr]time.Time)}
}

// networkOf returns hostnat's network for one of Docker's; false: there is none.
func (d *Driver) networkOf(ctx context.Context, id string) (api.Network, bool, error) {
	return d.find(ctx, func(n api.Network) bool { return n.Labels[docker.LabelNetwork] == id })
}

// find returns a network of the driver's.
func (d *Driver) find(ctx context.Context, is func(api.Network) bool) (api.Network, bool, error) {
	all, err := d.daemon.Networks(ctx)
	if err != nil {
		return api.Network{}, false, err
	}
	for _, n := range all {
		if n.Owner == docker.DriverOwner && is(n) {
			return n, true, nil
		}
	}
	return api.Network{}, false, nil
}

// endpointOf returns hostnat's endpoint for one of Docker's; false: there is none.
func (d *Driver) endpointOf(ctx context.Context, network, id string) (api.Endpoint, bool, error) {
	all, err := d.daemon.Endpoints(ctx, network)
	if err != nil {
		return api.Endpoint{}, false, err
	}
	for _, e := range all {
		if e.Owner == docker.DriverOwner && e.Labels[docker.LabelEndpoint] == id {
			return e, true, nil
		}
	}
	return api.Endpoint{}, false, nil
}
