package server

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/config/warning"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/explain"
	"github.com/hostnat/hostnat/internal/metrics"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
	"github.com/hostnat/hostnat/internal/traffic"
)

// Service is what can be asked of hostnat. *control.Control does it. Refusals
// are *model.Error.
type Service interface {
	Status(ctx context.Context) (control.Status, error)

	// Warnings returns what about an object is allowed and surely not meant.
	Warnings(ctx context.Context, about warning.Subject) []string

	NATs(ctx context.Context) ([]model.NAT, error)
	NAT(ctx context.Context, name string) (model.NAT, error)
	CreateNAT(ctx context.Context, spec config.NATSpec) (model.NAT, error)
	SetNAT(ctx context.Context, name string, settings map[string]string) (model.NAT, error)
	DeleteNAT(ctx context.Context, name string) error

	Networks(ctx context.Context) ([]model.Network, error)
	Network(ctx context.Context, name string) (model.Network, error)
	CreateNetwork(ctx context.Context, spec config.NetworkSpec) (model.Network, error)
	DeleteNetwork(ctx context.Context, name string, force bool) error
	SetNetwork(ctx context.Context, name string, settings map[string]string) (model.Network, error)
	RenumberNetwork(ctx context.Context, name, subnet string) (config.Renumbering, error)

	Endpoints(ctx context.Context, network string) ([]control.EndpointView, error)
	Endpoint(ctx context.Context, name string) (control.EndpointView, error)
	AttachEndpoint(ctx context.Context, spec config.EndpointSpec) (control.EndpointView, error)
	SetEndpoint(ctx context.Context, name string, settings map[string]string) (control.EndpointView, error)
	DetachEndpoint(ctx context.Context, name string) error
	OpenTAP(ctx context.Context, spec control.TAPSpec) (control.OpenedTAP, *os.File, error)

	Mappings(ctx context.Context) ([]control.MappingView, error)
	Mapping(ctx context.Context, id uint32) (control.MappingView, error)
	AddMapping(ctx context.Context, spec config.MappingSpec) (control.MappingView, error)
	DeleteMapping(ctx context.Context, id uint32) error

	Proxies(ctx context.Context) ([]control.ProxyView, error)
	AddProxy(ctx context.Context, spec config.ProxySpec) (control.ProxyView, error)
	DeleteProxy(ctx context.Context, id uint32) error

	DHCPLeases(ctx context.Context, network string) ([]control.LeaseView, error)
	DeleteLease(ctx context.Context, network, address string) error
	Reservations(ctx context.Context) ([]model.Reservation, error)
	AddReservation(ctx context.Context, spec config.ReservationSpec) (model.Reservation, error)
	DeleteReservation(ctx context.Context, network, address string) error
	Pools(ctx context.Context) ([]model.Pool, error)
	AddPool(ctx context.Context, spec config.PoolSpec) (model.Pool, error)
	DeletePool(ctx context.Context, prefix string) error

	Addresses(ctx context.Context) ([]control.AddressView, error)
	AddAddress(ctx context.Context, natName, spec string) (control.AddressView, error)
	RemoveAddress(ctx context.Context, natName, address string) error

	// ApplyFiles makes the configuration as files want it; Export says it as a file
	// would, and what is left out.
	ApplyFiles(ctx context.Context, w wanted.Objects, o control.ApplyOptions) (control.Applied, error)
	Export(ctx context.Context) (w wanted.Objects, leftOut []string, err error)

	// Bindings and Sessions yield what the filter selects as it is read from the
	// kernel, in no order.
	Bindings(ctx context.Context, filter model.Filter) (iter.Seq2[model.Binding, error], error)
	Sessions(ctx context.Context, filter model.Filter) (iter.Seq2[model.Session, error], error)
	DeleteSessions(ctx context.Context, filter model.Filter, all bool) (ended int, err error)
	Ports(ctx context.Context, filter control.PortFilter) ([]control.PortView, error)
	// Traffic says what is sent, by endpoint and by session.
	Traffic(ctx context.Context, q traffic.Query) (traffic.Top, error)

	// Doctor looks for what is wrong with the host; fix does what is safe.
	Doctor(ctx context.Context, fix bool) ([]doctor.Finding, error)
	// Metrics returns all numbers there are but the server's own.
	Metrics(ctx context.Context) (metrics.Snapshot, error)
	// Explain says what would become of a packet, and changes nothing.
	Explain(ctx context.Context, q explain.Question) (explain.Answer, error)
	// ExplainAll says it of each of several packets.
	ExplainAll(ctx context.Context, questions []explain.Question) ([]explain.Result, error)
	// History says what has failed since then, as far as the filter selects it.
	History(ctx context.Context, since time.Time, filter model.Filter) (explain.History, error)
	// Recording is what the kernel has recorded since then.
	Recording(ctx context.Context, since time.Time) (model.Recording, error)
	// Watch sends events until ctx ends; then the channel is closed.
	Watch(ctx context.Context) (<-chan event.Event, error)
	// Capture sends packets as they come and as they go on, until ctx ends; then the
	// channel is closed. More may come than is wished for.
	Capture(ctx context.Context, wish model.CaptureWish) (<-chan model.CaptureBatch, error)
	// Snapshot writes what a recording begins with; Told is what the data path was told last.
	Snapshot(ctx context.Context, write func(recording.Line) error) (recording.Ready, error)
	Told(ctx context.Context) (json.RawMessage, error)
	// Down removes everything from the kernel and keeps the configuration.
	Down(ctx context.Context) error
	// Restore decides which configuration is used, where nobody has decided yet.
	Restore(ctx context.Context, r api.Restoration) (revision uint64, err error)
}
