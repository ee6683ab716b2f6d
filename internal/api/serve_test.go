package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/api"
	"github.com/hostnat/hostnat/internal/api/apitest"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// serve runs a server of the service and returns its socket and a function
// that stops it and returns what Serve returned.
func serve(t *testing.T, service api.Service) (socket string, stop func() error) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	server := api.NewServer(service, "v0.0.0-test", slog.New(slog.NewTextHandler(io.Discard, nil)))
	go func() { done <- server.Serve(ctx, l) }()
	stop = func() error { cancel(); err := <-done; done <- err; return err }
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return socket, stop
}

// requireRoot skips tests in which this process changes things.
func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("changes over the socket need root")
	}
}

func TestReadsAreTheSameOverTheSocket(t *testing.T) {
	t.Parallel()
	service := apitest.Example()
	socket, _ := serve(t, service)
	client, ctx := api.NewClient(socket), t.Context()
	reads := []struct {
		name string
		read func(api.Service) (any, error)
	}{
		{"nats", func(s api.Service) (any, error) { return s.NATs(ctx) }},
		{"nat", func(s api.Service) (any, error) { return s.NAT(ctx, "default") }},
		{"networks", func(s api.Service) (any, error) { return s.Networks(ctx) }},
		{"network", func(s api.Service) (any, error) { return s.Network(ctx, "web") }},
		{"endpoints", func(s api.Service) (any, error) { return s.Endpoints(ctx, "") }},
		{"endpoints of a network", func(s api.Service) (any, error) { return s.Endpoints(ctx, "web") }},
		{"endpoint", func(s api.Service) (any, error) { return s.Endpoint(ctx, "c1") }},
		{"mappings", func(s api.Service) (any, error) { return s.Mappings(ctx) }},
		{"proxies", func(s api.Service) (any, error) { return s.Proxies(ctx) }},
		{"addresses", func(s api.Service) (any, error) { return s.Addresses(ctx) }},
		{"bindings", func(s api.Service) (any, error) { return s.Bindings(ctx, model.Filter{}) }},
		{"ports", func(s api.Service) (any, error) { return s.Ports(ctx, "") }},
		{"ports of a protocol", func(s api.Service) (any, error) { return s.Ports(ctx, "udp") }},
		{"sessions", func(s api.Service) (any, error) { return s.Sessions(ctx, model.Filter{}) }},
	}
	for _, tt := range reads {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want, err := tt.read(service)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tt.read(client)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(), cmp.Comparer(sameText)); diff != "" {
				t.Errorf("over the socket (-want +got):\n%s", diff)
			}
		})
	}
}

// sameText compares values such as netip.Addr, whose fields are not exported.
func sameText(a, b interface{ String() string }) bool { return a.String() == b.String() }

func TestStatusHasTheServersVersion(t *testing.T) {
	t.Parallel()
	socket, _ := serve(t, apitest.Example())
	status, err := api.NewClient(socket).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	version, err := api.NewClient(socket).Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Version != "v0.0.0-test" || version.Version != status.Version {
		t.Errorf("status says %q, version %q", status.Version, version.Version)
	}
}

func TestFilterTravels(t *testing.T) {
	t.Parallel()
	service := apitest.Example()
	socket, _ := serve(t, service)
	want := model.Filter{NAT: "a&b=c", Network: "web", Endpoint: "c1", Protocol: "tcp", Internal: ":80",
		External: "198.51.100.7:1", Remote: "192.0.2.0/24", State: "established"}
	if _, err := api.NewClient(socket).Sessions(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, service.Filter()); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
}

func TestDeleteSessionsTravels(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	service := apitest.Example()
	socket, _ := serve(t, service)
	c, ctx := api.NewClient(socket), t.Context()
	if _, err := c.DeleteSessions(ctx, model.Filter{}, false); model.CodeOf(err) != model.Invalid {
		t.Errorf("without a filter: %v", err)
	}
	want := model.Filter{Endpoint: "c1", Remote: ":443"}
	if got, err := c.DeleteSessions(ctx, want, false); err != nil || got.Ended != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if diff := cmp.Diff(want, service.Filter()); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	if got, err := c.DeleteSessions(ctx, model.Filter{}, true); err != nil || got.Ended != 0 {
		t.Errorf("all: got %+v, %v", got, err)
	}
}

func TestChanges(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	socket, _ := serve(t, apitest.Example())
	c, ctx := api.NewClient(socket), t.Context()
	steps := []struct {
		name string
		do   func() error
	}{
		{"create nat", func() error { _, err := c.CreateNAT(ctx, config.NATSpec{Name: "n/2"}); return err }},
		{"set nat", func() error { _, err := c.SetNAT(ctx, "n/2", map[string]string{"udp": "60"}); return err }},
		{"add address", func() error { _, err := c.AddAddress(ctx, "n/2", "198.51.100.8"); return err }},
		{"remove address", func() error { return c.RemoveAddress(ctx, "n/2", "198.51.100.8") }},
		{"delete nat", func() error { return c.DeleteNAT(ctx, "n/2") }},
		{"add mapping", func() error {
			_, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "tcp", Internal: "c1:81"})
			return err
		}},
		{"delete mapping", func() error { return c.DeleteMapping(ctx, 2) }},
		{"add proxy", func() error {
			_, err := c.AddProxy(ctx, config.ProxySpec{Kind: "name", Listen: "*:443", Routes: []string{"www.a.example=c1:443"}})
			return err
		}},
		{"delete proxy", func() error { return c.DeleteProxy(ctx, 2) }},
		{"force", func() error { return c.DeleteNetwork(ctx, "web", true) }},
		{"detach", func() error { return c.DetachEndpoint(ctx, "c1") }},
		{"down", func() error { return c.Down(ctx) }},
	}
	for _, s := range steps { // in order: each builds on the last
		if err := s.do(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

func TestRefusalsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	service := apitest.Empty()
	service.Err = model.Errorf(model.Exhausted, "subnet 172.16.1.0/30 has no free address").WithHint("use a larger one")
	socket, _ := serve(t, service)
	_, err := api.NewClient(socket).Networks(t.Context())
	var got *model.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %T %v", err, err)
	}
	if diff := cmp.Diff(service.Err, error(got)); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

func TestNotRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.sock")
	dead := filepath.Join(dir, "dead.sock")
	l, err := api.Listen(dead)
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	tests := []struct{ socket, want string }{
		{missing, "hostnat daemon is not running (no socket at " + missing + "); start it with: hostnat daemon"},
		{dead, "hostnat daemon is not running (nobody answers at " + dead + "); start it with: hostnat daemon"},
	}
	for _, tt := range tests {
		_, err := api.NewClient(tt.socket).Status(t.Context())
		if err == nil || err.Error() != tt.want || !api.NotRunning(err) || model.CodeOf(err) != model.Unavailable {
			t.Errorf("got %v (NotRunning %t), want %s", err, api.NotRunning(err), tt.want)
		}
	}
}

func TestNamesThatArePathsAreRefused(t *testing.T) {
	t.Parallel()
	c := api.NewClient("/nonexistent")
	for _, name := range []string{"", ".", ".."} {
		if err := c.DeleteNetwork(t.Context(), name, false); model.CodeOf(err) != model.Invalid {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestListenReplacesADeadSocketOnly(t *testing.T) {
	t.Parallel()
	socket, _ := serve(t, apitest.Empty())
	if _, err := api.Listen(socket); model.CodeOf(err) != model.Conflict {
		t.Errorf("a second daemon: got %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Listen(file); model.CodeOf(err) != model.Conflict {
		t.Errorf("a file in the way: got %v", err)
	}
	dead := filepath.Join(t.TempDir(), "dead")
	for range 2 {
		l, err := api.Listen(dead)
		if err != nil {
			t.Fatalf("over a dead socket: %v", err)
		}
		l.SetUnlinkOnClose(false)
		_ = l.Close()
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	service := apitest.Example()
	socket, stop := serve(t, service)
	events, err := api.NewClient(socket).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range service.Events {
		if got := next(t, events); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if err := stop(); err != nil { // must not wait for the stream
		t.Errorf("Serve: %v", err)
	}
	if e := next(t, events); e != (event.Event{}) {
		t.Errorf("after the end: %+v", e)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	socket, _ := serve(t, apitest.Empty())
	ctx, cancel := context.WithCancel(t.Context())
	events, err := api.NewClient(socket).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if e := next(t, events); e != (event.Event{}) {
		t.Errorf("after the end: %+v", e)
	}
}

func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	service := apitest.Empty()
	service.Err = model.Errorf(model.Unavailable, "the data path is not loaded")
	socket, _ := serve(t, service)
	if _, err := api.NewClient(socket).Watch(t.Context()); err == nil || !strings.Contains(err.Error(), "not loaded") {
		t.Errorf("got %v", err)
	}
}

// next returns the next event, or the zero one when the channel is closed.
func next(t *testing.T, events <-chan event.Event) event.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came in 10 s")
		return event.Event{}
	}
}

// A change goes on when its client leaves, and a stop waits for it.
func TestChangeOutlivesItsClientAndTheStop(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	service := apitest.Empty()
	service.Entered, service.Release = make(chan struct{}), make(chan struct{})
	socket, stop := serve(t, service)
	first, leave := context.WithCancel(t.Context())
	left, stayed, stopped := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { left <- api.NewClient(socket).Down(first) }()
	<-service.Entered
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that left got %v", err)
	}
	go func() { stayed <- api.NewClient(socket).Down(t.Context()) }()
	<-service.Entered
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Errorf("the server stopped in the middle of a change: %v", err)
	case <-time.After(50 * time.Millisecond): // nothing to wait for: nothing must happen
	}
	close(service.Release)
	if err := <-stayed; err != nil {
		t.Errorf("the change failed: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
