package api

import (
	"context"

	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/nat"
)

// Service is what can be asked of hostnat. *control.Control does it; *Client
// has it done over the socket. Refusals are *nat.Error.
type Service interface {
	Status(ctx context.Context) (control.Status, error)

	NATs(ctx context.Context) ([]nat.NAT, error)
	NAT(ctx context.Context, name string) (nat.NAT, error)
	CreateNAT(ctx context.Context, spec nat.NATSpec) (nat.NAT, error)
	SetNAT(ctx context.Context, name string, settings map[string]string) (nat.NAT, error)
	DeleteNAT(ctx context.Context, name string) error

	Networks(ctx context.Context) ([]nat.Network, error)
	Network(ctx context.Context, name string) (nat.Network, error)
	CreateNetwork(ctx context.Context, spec nat.NetworkSpec) (nat.Network, error)
	DeleteNetwork(ctx context.Context, name string, force bool) error

	Endpoints(ctx context.Context, network string) ([]control.EndpointView, error)
	Endpoint(ctx context.Context, name string) (control.EndpointView, error)
	AttachEndpoint(ctx context.Context, spec nat.EndpointSpec) (control.EndpointView, error)
	DetachEndpoint(ctx context.Context, name string) error

	Mappings(ctx context.Context) ([]control.MappingView, error)
	AddMapping(ctx context.Context, spec nat.MappingSpec) (control.MappingView, error)
	DeleteMapping(ctx context.Context, id uint32) error

	Addresses(ctx context.Context) ([]control.AddressView, error)
	AddAddress(ctx context.Context, natName, spec string) (control.AddressView, error)
	RemoveAddress(ctx context.Context, natName, address string) error

	Bindings(ctx context.Context, filter nat.Filter) ([]nat.Binding, error)
	Sessions(ctx context.Context, filter nat.Filter) ([]nat.Session, error)
	DeleteSessions(ctx context.Context, filter nat.Filter, all bool) (control.EndedSessions, error)
	Ports(ctx context.Context, protocol string) ([]control.PortView, error)

	// Watch sends events until ctx ends; then the channel is closed.
	Watch(ctx context.Context) (<-chan event.Event, error)
	// Down removes everything from the kernel and keeps the configuration.
	Down(ctx context.Context) error
}
