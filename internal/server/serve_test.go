package server

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// serve runs a server of the service and returns its socket and a function
// that stops it and returns what Serve returned.
func serve(t *testing.T, service Service) (socket string, stop func() error) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	return socket, serveAt(t, service, socket)
}

func serveAt(t *testing.T, service Service, socket string) (stop func() error) {
	t.Helper()
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	server := NewServer(Options{Service: service, Version: "v0.0.0-test", Log: slog.New(slog.DiscardHandler), Readers: ReadersAll, Files: 64})
	go func() { done <- server.Serve(ctx, l) }()
	stop = func() error { cancel(); err := <-done; done <- err; return err }
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return stop
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
	service := servertest.Example()
	socket, _ := serve(t, service)
	client, ctx := api.NewClient(socket), t.Context()
	reads := []struct {
		name string
		kept func() (any, error) // what the service has, converted
		read func() (any, error) // what the client reads
	}{
		{"nats", func() (any, error) { l, err := service.NATs(ctx); return each(l, natOf), err }, func() (any, error) { return client.NATs(ctx) }},
		{"nat", func() (any, error) { n, err := service.NAT(ctx, "default"); return natOf(n), err }, func() (any, error) { return client.NAT(ctx, "default") }},
		{"networks", func() (any, error) { l, err := service.Networks(ctx); return each(l, networkOf), err }, func() (any, error) { return client.Networks(ctx) }},
		{"network", func() (any, error) { n, err := service.Network(ctx, "web"); return networkOf(n), err }, func() (any, error) { return client.Network(ctx, "web") }},
		{"endpoints", func() (any, error) { l, err := service.Endpoints(ctx, "web"); return each(l, endpointOf), err }, func() (any, error) { return client.Endpoints(ctx, "web") }},
		{"endpoint", func() (any, error) { e, err := service.Endpoint(ctx, "c1"); return endpointOf(e), err }, func() (any, error) { return client.Endpoint(ctx, "c1") }},
		{"mappings", func() (any, error) { l, err := service.Mappings(ctx); return each(l, mappingOf), err }, func() (any, error) { return client.Mappings(ctx) }},
		{"mapping", func() (any, error) { m, err := service.Mapping(ctx, 1); return mappingOf(m), err }, func() (any, error) { return client.Mapping(ctx, 1) }},
		{"proxies", func() (any, error) { l, err := service.Proxies(ctx); return each(l, proxyOf), err }, func() (any, error) { return client.Proxies(ctx) }},
		{"addresses", func() (any, error) { l, err := service.Addresses(ctx); return each(l, addressOf), err }, func() (any, error) { return client.Addresses(ctx) }},
		{"leases", func() (any, error) { l, err := service.DHCPLeases(ctx, "web"); return each(l, leaseOf), err }, func() (any, error) { return client.Leases(ctx, "web") }},
		{"bindings", func() (any, error) {
			l, err := service.Bindings(ctx, model.Filter{})
			return each(all(l), bindingOf), err
		}, func() (any, error) { return client.Bindings(ctx, api.Filter{}) }},
		{"sessions", func() (any, error) {
			l, err := service.Sessions(ctx, model.Filter{})
			return each(all(l), sessionOf), err
		}, func() (any, error) { return client.Sessions(ctx, api.Filter{}) }},
	}
	for _, tt := range reads {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want, err := tt.kept()
			if err != nil {
				t.Fatal(err)
			}
			got, err := tt.read()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})); diff != "" {
				t.Errorf("over the socket (-want +got):\n%s", diff)
			}
		})
	}
}

func all[T any](rows iter.Seq2[T, error]) (list []T) {
	for v := range rows {
		list = append(list, v)
	}
	return list
}

func TestStatusHasTheServersVersion(t *testing.T) {
	t.Parallel()
	socket, _ := serve(t, servertest.Example())
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
	service := servertest.Example()
	socket, _ := serve(t, service)
	filter := api.Filter{NAT: "a&b=c", Network: "web", Endpoint: "c1", Protocol: "tcp", Internal: ":80",
		External: "198.51.100.7:1", Remote: "192.0.2.0/24", RemoteName: "*.example.com", State: "established"}
	want := model.Filter(filter)
	if _, err := api.NewClient(socket).Sessions(t.Context(), filter); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, service.Filter()); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
}

func TestDeleteSessionsTravels(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	service := servertest.Example()
	socket, _ := serve(t, service)
	c, ctx := api.NewClient(socket), t.Context()
	if _, err := c.DeleteSessions(ctx, api.Filter{}, false); api.CodeOf(err) != api.Invalid {
		t.Errorf("without a filter: %v", err)
	}
	filter := api.Filter{Endpoint: "c1", Remote: ":443"}
	if got, err := c.DeleteSessions(ctx, filter, false); err != nil || got.Ended != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if diff := cmp.Diff(model.Filter(filter), service.Filter()); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	if got, err := c.DeleteSessions(ctx, api.Filter{}, true); err != nil || got.Ended != 0 {
		t.Errorf("all: got %+v, %v", got, err)
	}
}

func TestChanges(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	socket, _ := serve(t, servertest.Example())
	c, ctx := api.NewClient(socket), t.Context()
	steps := []struct {
		name string
		do   func() error
	}{
		{"create nat", func() error { _, err := c.CreateNAT(ctx, api.NATSpec{Name: "n/2"}); return err }},
		{"set nat", func() error { _, err := c.SetNAT(ctx, "n/2", map[string]string{"udp": "60"}); return err }},
		{"add address", func() error { _, err := c.AddAddress(ctx, "n/2", "198.51.100.8"); return err }},
		{"remove address", func() error { return c.RemoveAddress(ctx, "n/2", "198.51.100.8") }},
		{"delete nat", func() error { return c.DeleteNAT(ctx, "n/2") }},
		{"add mapping", func() error {
			_, err := c.AddMapping(ctx, api.MappingSpec{Protocol: "tcp", Internal: "c1:81"})
			return err
		}},
		{"delete mapping", func() error { return c.DeleteMapping(ctx, 2) }},
		{"add proxy", func() error {
			_, err := c.AddProxy(ctx, api.ProxySpec{Kind: "name", Listen: "*:443", Routes: []string{"www.a.example=c1:443"}})
			return err
		}},
		{"delete proxy", func() error { return c.DeleteProxy(ctx, 2) }},
		{"force", func() error { return c.DeleteNetwork(ctx, "web", true) }},
		{"detach", func() error { return c.DetachEndpoint(ctx, "c1") }},
		{"restore", func() error { _, err := c.Restore(ctx, api.Restoration{Copy: true}); return err }},
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
	service := servertest.Empty()
	service.Err = model.Errorf(model.Exhausted, "subnet 172.16.1.0/30 has no free address").WithHint("use a larger one")
	socket, _ := serve(t, service)
	_, err := api.NewClient(socket).Networks(t.Context())
	var got *api.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %T %v", err, err)
	}
	if diff := cmp.Diff(&api.Error{Code: api.Exhausted, Message: "subnet 172.16.1.0/30 has no free address", Hint: "use a larger one"}, got); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

func TestNotRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.sock")
	dead := filepath.Join(dir, "dead.sock")
	l, err := Listen(dead)
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
		if err == nil || err.Error() != tt.want || !api.NotRunning(err) || api.CodeOf(err) != api.Unavailable {
			t.Errorf("got %v (NotRunning %t), want %s", err, api.NotRunning(err), tt.want)
		}
	}
}

func TestNamesThatArePathsAreRefused(t *testing.T) {
	t.Parallel()
	c := api.NewClient("/nonexistent")
	for _, name := range []string{"", ".", ".."} {
		if err := c.DeleteNetwork(t.Context(), name, false); api.CodeOf(err) != api.Invalid {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestListenReplacesADeadSocketOnly(t *testing.T) {
	t.Parallel()
	socket, _ := serve(t, servertest.Empty())
	if _, err := Listen(socket); model.CodeOf(err) != model.Conflict {
		t.Errorf("a second daemon: got %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); model.CodeOf(err) != model.Conflict {
		t.Errorf("a file in the way: got %v", err)
	}
	dead := filepath.Join(t.TempDir(), "dead")
	for range 2 {
		l, err := Listen(dead)
		if err != nil {
			t.Fatalf("over a dead socket: %v", err)
		}
		l.SetUnlinkOnClose(false)
		_ = l.Close()
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	service := servertest.Example()
	socket, stop := serve(t, service)
	events, err := api.NewClient(socket).Watch(t.Context(), api.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range service.Events {
		if diff := cmp.Diff(eventOf(want), next(t, events), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Errorf("(-sent +got):\n%s", diff)
		}
	}
	if err := stop(); err != nil { // must not wait for the stream
		t.Errorf("Serve: %v", err)
	}
	if e := next(t, events); e.Name != "" {
		t.Errorf("after the end: %+v", e)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	socket, _ := serve(t, servertest.Empty())
	ctx, cancel := context.WithCancel(t.Context())
	events, err := api.NewClient(socket).Watch(ctx, api.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if e := next(t, events); e.Name != "" {
		t.Errorf("after the end: %+v", e)
	}
}

func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	service := servertest.Empty()
	service.Err = model.Errorf(model.Unavailable, "the data path is not loaded")
	socket, _ := serve(t, service)
	if _, err := api.NewClient(socket).Watch(t.Context(), api.EventFilter{}); err == nil || !strings.Contains(err.Error(), "not loaded") {
		t.Errorf("got %v", err)
	}
}

// next returns the next event, or the zero one when the channel is closed.
func next(t *testing.T, events <-chan api.Event) api.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came in 10 s")
		return api.Event{}
	}
}

// A change goes on when its client leaves, and a stop waits for it.
func TestChangeOutlivesItsClientAndTheStop(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	service := servertest.Empty()
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

// Without a configuration everything that needs one is refused, in one way.
func TestWaitingServer(t *testing.T) {
	t.Parallel()
	refusal := model.Errorf(model.Unavailable, "nobody has decided").WithHint("hostnat restore")
	s := NewWaitingServer(Options{Service: servertest.Example(), Log: slog.New(slog.DiscardHandler), Readers: ReadersAll}, refusal)
	for _, rt := range routes() {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(rt.method, strings.NewReplacer("{", "", "}", "").Replace(rt.path), strings.NewReader("{}"))
		s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{})))
		if refused := strings.Contains(w.Body.String(), "nobody has decided"); refused == whileWaiting[rt.path] {
			t.Errorf("%s %s: %d %s", rt.method, rt.path, w.Code, w.Body)
		}
	}
}
