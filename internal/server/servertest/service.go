// Package servertest has a Service for tests of what sits on top of the API: it
// keeps what it is told in memory and has a few fixed sessions and events. It
// checks nothing, except that names exist.
package servertest

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/warning"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Service is an server.Service without a host behind it. Set its fields before
// it is used.
type Service struct {
	// Err, if set, is what every operation returns.
	Err error
	// Entered, if set, gets a value when Down begins, which then waits for
	// Release to be closed: to see what happens around a slow operation.
	Entered, Release chan struct{}
	// Warned is what is warned of, in answers to changes and in Status.
	Warned []string
	// Events is what each watcher gets, at once.
	Events []event.Event
	// Captured is what each capture gets, at once.
	Captured model.CaptureBatch

	mu        sync.Mutex
	nats      []model.NAT
	networks  []model.Network
	endpoints []control.EndpointView
	mappings  []control.MappingView
	proxies   []control.ProxyView
	addresses []control.AddressView

	leases       []control.LeaseView
	reservations []model.Reservation
	pools        []model.Pool

	bindings []model.Binding
	sessions []model.Session
	ports    []control.PortView
	filter   model.Filter
}

// Empty returns a Service that has nothing at all.
func Empty() *Service { return &Service{} }

// Filter returns the filter of the last operation on bindings or sessions.
func (s *Service) Filter() model.Filter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.filter
}

// Warnings returns Warned, whatever it is about.
func (s *Service) Warnings(context.Context, warning.Subject) []string { return s.Warned }

// Status returns counts of what there is, one kind of drop and no problems.
func (s *Service) Status(context.Context) (control.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return control.Status{PID: 4242, UptimeSeconds: 7384,
		NATs: len(s.nats), Networks: len(s.networks), Endpoints: len(s.endpoints), Mappings: len(s.mappings),
		Bindings: uint64(len(s.bindings)), Sessions: uint64(len(s.sessions)), MaxSessions: 1048576,
		Drops:    map[string]uint64{"no-session": 12, "spoofed-source": 0},
		Problems: []string{}, Warnings: append([]string{}, s.Warned...), ExternalAddresses: slices.Clone(s.addresses)}, s.Err
}

// Down does nothing, as slowly as Release says.
func (s *Service) Down(ctx context.Context) error {
	if s.Entered != nil {
		s.Entered <- struct{}{}
		<-s.Release
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Err
}

// Restore does nothing.
func (s *Service) Restore(context.Context, api.Restoration) (uint64, error) { return 2, s.Err }

// Watch sends Events, and then nothing until ctx ends.
func (s *Service) Watch(ctx context.Context) (<-chan event.Event, error) {
	if s.Err != nil {
		return nil, s.Err
	}
	events := make(chan event.Event)
	go func() {
		defer close(events)
		for _, e := range s.Events {
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
		<-ctx.Done()
	}()
	return events, nil
}

// Bindings returns all bindings, whatever the filter; see Filter.
func (s *Service) Bindings(_ context.Context, f model.Filter) (iter.Seq2[model.Binding, error], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = f
	return rowsOf(s.bindings), s.Err
}

// Sessions returns all sessions, whatever the filter; see Filter.
func (s *Service) Sessions(_ context.Context, f model.Filter) (iter.Seq2[model.Session, error], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = f
	return rowsOf(s.sessions), s.Err
}

func rowsOf[T any](list []T) iter.Seq2[T, error] {
	list = slices.Clone(list)
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// DeleteSessions ends all sessions, whatever the filter; see Filter.
func (s *Service) DeleteSessions(_ context.Context, f model.Filter, all bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = f
	if f == (model.Filter{}) && !all {
		return 0, model.Errorf(model.Invalid, "no filter is given").WithHint("give one, or --all")
	}
	ended := len(s.sessions)
	if s.Err == nil {
		s.sessions = nil
	}
	return ended, s.Err
}

// SetSessions makes these the sessions from now on.
func (s *Service) SetSessions(sessions ...model.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = sessions
}

// Ports returns the ports that the filter selects.
func (s *Service) Ports(_ context.Context, f control.PortFilter) ([]control.PortView, error) {
	selected, err := f.Selects()
	if err != nil {
		return nil, err
	}
	rows, err := all(s, &s.ports)
	return slices.DeleteFunc(rows, func(p control.PortView) bool { return !selected(p) }), err
}

// Example returns a Service with one of everything.
func Example() *Service {
	internal, external := netip.MustParseAddrPort("172.16.1.2:40000"), netip.MustParseAddrPort("198.51.100.7:50123")
	remote := netip.MustParseAddrPort("192.0.2.7:443")
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	created := event.New(event.SessionCreate, at)
	created.Protocol, created.NAT, created.Network, created.Compartment = model.TCP, "default", "web", "default"
	created.Internal, created.InternalDestination = internal, remote
	created.External, created.ExternalDestination = external, remote
	created.LifetimeSeconds = 6
	ports := event.New(event.OutOfPorts, at)
	ports.NAT, ports.Protocol = "default", model.UDP

	s := &Service{Events: []event.Event{created, ports}}
	ctx := context.Background()
	_, _ = s.CreateNAT(ctx, config.NATSpec{Name: model.DefaultNAT})
	_, _ = s.CreateNetwork(ctx, config.NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"})
	_, _ = s.AttachEndpoint(ctx, config.EndpointSpec{Network: "web", Name: "c1", Netns: "c1", Aliases: []string{"www"}})
	_, _ = s.AddMapping(ctx, config.MappingSpec{Protocol: "tcp", External: "8080", Internal: "c1:80"})
	_, _ = s.AddProxy(ctx, config.ProxySpec{Kind: "v4tov6", Protocol: "tcp", Listen: "192.168.7.5:8081", Connect: "[2001:db8::1]:80"})
	s.addresses = []control.AddressView{{NAT: model.DefaultNAT, Address: external.Addr(), Ports: "32768-60999",
		Interface: "eth0", Source: control.Interface}}
	s.bindings = []model.Binding{{NAT: model.DefaultNAT, Network: "web", Compartment: "default", Protocol: model.TCP,
		Internal: internal, External: external, SessionCount: 1}}
	s.sessions = []model.Session{{NAT: model.DefaultNAT, Network: "web", Endpoint: "c1", Compartment: "default",
		Protocol: model.TCP, Internal: internal, External: external, Remote: remote, RemoteName: "shop.example.com", State: model.StateEstablished,
		LifetimeSeconds: 7440, CreatedAt: at, PacketsOut: 10, BytesOut: 1536, PacketsIn: 2048, BytesIn: 3 << 20,
		Handshake: model.Handshake{EndpointMicroseconds: 85, OutsideMicroseconds: 23_400, RepeatedSYNs: 1}}}
	s.leases = exampleLeases(at)
	s.ports = examplePorts(external.Addr())
	return s
}

func examplePorts(external netip.Addr) []control.PortView {
	one, none := 1, 0
	return []control.PortView{
		{Protocol: model.TCP, Address: netip.IPv6Unspecified(), Ports: "22", Kind: control.ListenerPort, Owner: "sshd (pid 41)", Count: 1, InUse: &one},
		{Protocol: model.TCP, Address: external, Ports: "1024-32767,61000-65535", Kind: control.DynamicPorts, Owner: "NAT default", Count: 36280, InUse: &one},
		{Protocol: model.TCP, Address: netip.IPv4Unspecified(), Ports: "8080", Kind: control.MappedPort, Owner: "c1:80 (mapping 1)", Count: 1, InUse: &one},
		{Protocol: model.TCP, Address: netip.IPv4Unspecified(), Ports: "32768-60999", Kind: control.EphemeralPorts, Owner: "the host", Count: 28232},
		{Protocol: model.UDP, Address: external, Ports: "1024-32767,61000-65535", Kind: control.DynamicPorts, Owner: "NAT default", Count: 36280, InUse: &none},
		{Protocol: model.UDP, Address: netip.IPv4Unspecified(), Ports: "32768-60999", Kind: control.EphemeralPorts, Owner: "the host", Count: 28232},
	}
}
