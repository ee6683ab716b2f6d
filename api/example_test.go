package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/server"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// start serves a daemon's API without a host behind it, with one of everything,
// and returns its socket.
func start() (socket string, stop func()) {
	dir, err := os.MkdirTemp("", "hostnat-example")
	if err != nil {
		panic(err)
	}
	socket = filepath.Join(dir, "hostnat.sock")
	listener, err := server.Listen(socket)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	s := server.NewServer(server.Options{Service: servertest.Example(), Version: "v0.0.0-example", Log: slog.New(slog.DiscardHandler)})
	go func() { ended <- s.Serve(ctx, listener) }()
	return socket, func() { cancel(); <-ended; _ = os.RemoveAll(dir) }
}

func ExampleNewClient() {
	socket, stop := start() // a daemon is at api.DefaultSocket
	defer stop()
	client := api.NewClient(socket)
	version, err := client.Version(context.Background())
	fmt.Println(version.Version, err)
	// Output: v0.0.0-example <nil>
}

func ExampleClient_Endpoints() {
	socket, stop := start()
	defer stop()
	endpoints, err := api.NewClient(socket).Endpoints(context.Background(), "web")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range endpoints {
		fmt.Println(e.Name, e.Addresses, e.Gateways, e.State)
	}
	// Output: c1 [172.16.1.2] [172.16.1.1] up
}

func ExampleClient_Sessions() {
	socket, stop := start()
	defer stop()
	sessions, err := api.NewClient(socket).Sessions(context.Background(), api.Filter{Endpoint: "c1", Protocol: "tcp"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range sessions {
		fmt.Println(s.Internal, "as", s.External, "to", s.Remote, s.State)
	}
	// Output: 172.16.1.2:40000 as 198.51.100.7:50123 to 192.0.2.7:443 established
}

func ExampleClient_Watch() {
	socket, stop := start()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := api.NewClient(socket).Watch(ctx, api.EventFilter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := <-events
	fmt.Println(e.Name, e.Internal, e.External)
	// Output: SessionCreate 172.16.1.2:40000 198.51.100.7:50123
}

func ExampleError() {
	socket, stop := start()
	defer stop()
	_, err := api.NewClient(socket).Network(context.Background(), "lab")
	var refusal *api.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Code, "-", refusal.Message)
	}
	// Output: not_found - network "lab" does not exist
}

func ExampleNotRunning() {
	_, err := api.NewClient("/nonexistent/hostnat.sock").Status(context.Background())
	fmt.Println(api.NotRunning(err), err)
	// Output: true hostnat daemon is not running (no socket at /nonexistent/hostnat.sock); start it with: hostnat daemon
}
