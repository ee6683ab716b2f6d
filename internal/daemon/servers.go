package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/dhcp"
	"github.com/hostnat/hostnat/internal/dns"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/arp"
	"github.com/hostnat/hostnat/internal/host/sockets"
	"github.com/hostnat/hostnat/internal/machined"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/names"
	"github.com/hostnat/hostnat/internal/plugin/docker"
	"github.com/hostnat/hostnat/internal/reconcile"
	"github.com/hostnat/hostnat/internal/resolved"
)

// servers are the DHCP and name servers of all networks, who tells the host of the
// latter, who asks it for the names of guests, and who follows Docker.
type servers struct {
	dhcp  *dhcp.Servers
	dns   *dns.Server
	names *resolved.Host
	asked remoteNames

	guests *machined.Guests
	docker *docker.Follower

	networks atomic.Int64 // how many there are
}

func newServers(k *reconcile.Kernel, leases *dhcp.Leases, o Options) *servers {
	remembered := remoteNames{names.New()}
	k.NameRemotes(remembered.name)
	return &servers{
		dhcp:   dhcp.NewServers(leases, dhcp.Bridge{PortOf: portOf(k), Checked: checkedPort(k), HasPort: host.BridgeHasPort, MTUOf: k.LinkMTU, HolderOf: arp.AddressHolder, Named: k.Interfaces}, o.Log),
		dns:    dns.New(dns.Options{Files: dns.HostFiles(o.ResolvConf), Log: o.Log, Holder: holderOf(k.Listeners), Learned: remembered.learn}),
		asked:  remembered,
		names:  resolved.New(o.HostNames, o.Log),
		guests: machined.New(guestsHost, o.Log),
		docker: docker.New(docker.Options{Daemon: api.NewClient(o.socketPath()), LinkOf: host.PeerOf, PairsOn: host.PairsOn, ResetUnaccepted: sockets.ResetUnaccepted, Log: o.Log}),
	}
}

// Serve implements control.Servers.
func (s *servers) Serve(ctx context.Context, c config.Config, facts model.HostFacts) {
	s.networks.Store(int64(len(c.Networks)))
	s.dhcp.Sync(ctx, c, facts)
	s.dns.Configure(ctx, c)
	s.names.Configure(c)
	s.docker.Follow(dockerHost(c))
	s.asked.follow(c)
}

// dockerHost is where Docker answers, if some network is there for it, or some
// endpoint is attached to a container by its name.
func dockerHost(c config.Config) string {
	for _, n := range c.Networks {
		if host := n.Labels[docker.LabelHost]; host != "" && (n.Owner == docker.Owner || n.Owner == docker.DriverOwner) {
			return host
		}
	}
	for _, e := range c.Endpoints {
		if host := e.Labels[docker.LabelHost]; host != "" && e.Labels[docker.LabelName] != "" {
			return host
		}
	}
	return ""
}

// ChangeLeases implements control.Servers. The DHCP servers know what they have leased.
func (s *servers) ChangeLeases(ctx context.Context, c config.Config) {
	s.dns.Configure(ctx, c)
	s.asked.follow(c)
}

// problems is what they cannot do, for status.
func (s *servers) problems() []func() []string {
	files := func() []string {
		if problem := filesProblem(int(s.networks.Load())); problem != "" {
			return []string{problem}
		}
		return nil
	}
	return []func() []string{s.dns.Problems, s.dhcp.Problems, files, s.names.Problems, s.docker.Problems}
}

// close ends all of them.
func (s *servers) close() {
	s.dhcp.Stop()
	s.dns.Configure(context.Background(), config.Config{})
}

// leaseDelay is how long changes of leases are gathered: with hundreds of
// clients at once, mappings need not be looked at after each.
const leaseDelay = 50 * time.Millisecond

// followLeases tells control when leases change.
func followLeases(ctx context.Context, c *control.Control, changed <-chan struct{}, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		if err := c.LeasesChanged(ctx); err != nil && ctx.Err() == nil {
			log.Error("the kernel does not follow the leases", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaseDelay):
		}
	}
}

// guestsHost is what finding guests asks of the host.
var guestsHost = machined.Host{
	LinkName: host.LinkName,
	Station: func(link string) (model.MAC, bool) {
		mac, known, err := host.Station(context.Background(), link)
		return mac, known && err == nil
	},
}

// holderOf returns a function that names the program of the host which holds a
// port, by UDP or TCP.
func holderOf(listeners func(context.Context) ([]model.Listener, error)) func(context.Context, netip.AddrPort) string {
	return func(ctx context.Context, at netip.AddrPort) string {
		all, err := listeners(ctx)
		if err != nil {
			return ""
		}
		for _, l := range all {
			if l.Address.Port() == at.Port() && (l.Address.Addr().IsUnspecified() || l.Address.Addr() == at.Addr()) {
				return fmt.Sprintf("%s (pid %d)", l.Program, l.PID)
			}
		}
		return ""
	}
}
