package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
	"github.com/hostnat/hostnat/internal/plugin/docker/driver"
	"github.com/hostnat/hostnat/internal/server"
)

// dockerSocket is the name by which systemd hands over the socket of Docker's driver
// (FileDescriptorName of hostnat-docker.socket).
const dockerSocket = "docker"

// dockerListener returns the socket of Docker's driver: that of systemd, which is there
// while no daemon runs, else one of our own if a path is given. Nil: neither.
func dockerListener(path string) (net.Listener, error) {
	handed, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("take the sockets over that systemd has made: %w", err)
	}
	if list := handed[dockerSocket]; len(list) > 0 && list[0] != nil {
		return list[0], nil
	}
	if path == "" {
		return nil, nil
	}
	return server.ListenForRoot(path)
}

// dockerDriver serves Docker's calls until ctx ends.
func dockerDriver(o Options, l net.Listener) func(context.Context) error {
	d := driver.New(api.NewClient(o.socketPath()), cmp.Or(os.Getenv("DOCKER_HOST"), docker.DefaultHost))
	return func(ctx context.Context) error {
		if l == nil {
			<-ctx.Done()
			return ctx.Err()
		}
		o.Log.Info("Docker's driver answers", "socket", l.Addr().String())
		return d.Serve(ctx, l, o.Log)
	}
}
