package dhcp

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Servers are the servers of all networks of a configuration.
type Servers struct {
	leases *Leases
	bridge Bridge
	log    *slog.Logger

	mu      sync.Mutex
	running map[string]*running // by network
	failed  map[string]error    // those that could not be started, by network
}

// running is a server and what it was started on.
type running struct {
	server *Server
	bridge string
	index  int
	mac    string
	gate   string // the gateway's address
	stop   context.CancelFunc
	ended  chan struct{}
}

// NewServers returns servers for no network yet.
func NewServers(leases *Leases, bridge Bridge, log *slog.Logger) *Servers {
	return &Servers{leases: leases, bridge: bridge, log: log, running: make(map[string]*running), failed: make(map[string]error)}
}

// Sync starts a server for each network that wants one and has a bridge, tells
// those that run what has changed, and stops the others.
func (v *Servers) Sync(ctx context.Context, c config.Config, host model.HostFacts) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.leases.Keep(c.Networks); err != nil {
		v.log.Error("leases of networks that are gone cannot be removed", "error", err)
	}
	bridges, err := v.bridge.links(ctx, c.Networks)
	if err != nil {
		v.log.Error("the bridges cannot be listed", "error", err)
		return
	}
	var seats []seat
	wanted := make(map[string]seat) // by network
	endpoints, reservations := make(map[string][]model.Endpoint), make(map[string][]model.Reservation)
	for _, e := range c.Endpoints {
		endpoints[e.Network] = append(endpoints[e.Network], e)
	}
	for _, r := range c.Reservations {
		reservations[r.Network] = append(reservations[r.Network], r)
	}
	for _, n := range c.Networks {
		bridge, exists := bridges[n.Bridge]
		if !n.DHCP.On() || !exists { // without a bridge the report on the network says so
			continue
		}
		s := NewScope(n, endpoints[n.Name], reservations[n.Name], host)
		if n.Adopted || n.IsPointToPoint() { // its MTU is its owner's business
			s.MTU = min(s.MTU, bridge.MTU)
		}
		wanted[n.Name] = seat{s, bridge}
		seats = append(seats, wanted[n.Name])
	}
	v.halt(func(name string, r *running) bool {
		p, wants := wanted[name]
		return !wants || !r.fits(p)
	})
	clear(v.failed)
	for _, p := range seats {
		v.serve(ctx, p)
	}
}

// seat is where a server is wanted, and what it serves by.
type seat struct {
	scope  *Scope
	bridge *net.Interface
}

// links returns the networks' bridges that are there, by name.
func (b Bridge) links(ctx context.Context, networks []model.Network) (map[string]*net.Interface, error) {
	var list []net.Interface
	var err error
	if b.Named == nil {
		list, err = net.Interfaces()
	} else {
		names := make([]string, 0, len(networks))
		for _, n := range networks {
			names = append(names, n.Bridge)
		}
		list, err = b.Named(ctx, names)
	}
	byName := make(map[string]*net.Interface, len(list))
	for i := range list {
		byName[list[i].Name] = &list[i]
	}
	return byName, err
}

// serve tells a network's server what has changed, or starts one.
func (v *Servers) serve(ctx context.Context, p seat) {
	s, bridge := p.scope, p.bridge
	if r, runs := v.running[s.Network]; runs {
		r.server.Update(s)
		return
	}
	server, err := Open(s, bridge, v.leases, v.bridge, v.log)
	if err != nil {
		v.failed[s.Network] = err
		return
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // the change that started it ends earlier
	r := &running{
		server: server, bridge: bridge.Name, index: bridge.Index, mac: bridge.HardwareAddr.String(),
		gate: s.Gateway.String(), stop: stop, ended: make(chan struct{}),
	}
	v.running[s.Network] = r
	go func() {
		defer close(r.ended)
		if err := server.Run(ctx); err != nil && ctx.Err() == nil {
			v.log.Warn("DHCP server ended; it is started again when the bridge is there", "network", s.Network, "error", err)
		}
	}()
}

// fits reports whether the server's socket is still the right one.
func (r *running) fits(p seat) bool {
	select {
	case <-r.ended:
		return false
	default:
	}
	return r.bridge == p.bridge.Name && r.index == p.bridge.Index && r.mac == p.bridge.HardwareAddr.String() && r.gate == p.scope.Gateway.String()
}

// haltedAtOnce is how many servers end at the same time. The kernel lets a packet
// socket go after a grace period (RCU) of some 12 ms, in which a thread waits; those
// that wait at the same time wait for the same one.
const haltedAtOnce = 64

// halt ends those servers of which unwanted says so, and returns when they have ended.
func (v *Servers) halt(unwanted func(network string, r *running) bool) {
	var ending errgroup.Group
	ending.SetLimit(haltedAtOnce)
	for name, r := range v.running {
		if unwanted(name, r) {
			delete(v.running, name)
			ending.Go(func() error {
				r.stop()
				<-r.ended
				return nil
			})
		}
	}
	_ = ending.Wait()
}

// Stop stops all servers.
func (v *Servers) Stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.halt(func(string, *running) bool { return true })
}

// Problems says which networks have no server though they should, and whose clients
// were ignored lately, one line each.
func (v *Servers) Problems() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for network, err := range v.failed {
		list = append(list, "network "+network+" has no DHCP: "+err.Error())
	}
	for _, r := range v.running {
		if p := r.server.problem(); p != "" {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, strings.Compare)
	return list
}
