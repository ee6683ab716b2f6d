package dhcp

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/hostnat/hostnat/internal/nat"
)

// Servers are the servers of all networks of a configuration.
type Servers struct {
	book   *Book
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
func NewServers(book *Book, bridge Bridge, log *slog.Logger) *Servers {
	return &Servers{book: book, bridge: bridge, log: log, running: make(map[string]*running), failed: make(map[string]error)}
}

// Sync starts a server for each network that wants one and has a bridge, tells
// those that run what has changed, and stops the others. MTU is the outgoing
// interface's.
func (v *Servers) Sync(ctx context.Context, c nat.Config, mtu int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.book.Keep(c.Networks); err != nil {
		v.log.Error("leases of networks that are gone cannot be removed", "error", err)
	}
	bridges, err := v.bridge.links(ctx, c.Networks)
	if err != nil {
		v.log.Error("the bridges cannot be listed", "error", err)
		return
	}
	wanted := make(map[string]bool)
	clear(v.failed)
	of := membersOf(c)
	for _, n := range c.Networks {
		if !n.DHCP.On() {
			continue
		}
		if bridge, exists := bridges[n.Bridge]; exists { // else the report on the network says so
			wanted[n.Name] = true
			s := scopeOf(n, of[n.Name], mtu)
			if n.Adopted { // its MTU is its owner's business
				s.MTU = min(s.MTU, bridge.MTU)
			}
			v.serve(ctx, s, bridge)
		}
	}
	for name := range v.running {
		if !wanted[name] {
			v.halt(name)
		}
	}
}

// links returns the networks' bridges that are there, by name.
func (b Bridge) links(ctx context.Context, networks []nat.Network) (map[string]*net.Interface, error) {
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

func (v *Servers) serve(ctx context.Context, s *Scope, bridge *net.Interface) {
	if r, runs := v.running[s.Network]; runs {
		if r.fits(s, bridge) {
			r.server.Update(s)
			return
		}
		v.halt(s.Network)
	}
	server, err := Open(s, bridge, v.book, v.bridge, v.log)
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
func (r *running) fits(s *Scope, bridge *net.Interface) bool {
	select {
	case <-r.ended:
		return false
	default:
	}
	return r.bridge == bridge.Name && r.index == bridge.Index && r.mac == bridge.HardwareAddr.String() && r.gate == s.Gateway.String()
}

func (v *Servers) halt(network string) {
	r := v.running[network]
	r.stop()
	<-r.ended
	delete(v.running, network)
}

// Stop stops all servers.
func (v *Servers) Stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name := range v.running {
		v.halt(name)
	}
}

// Problems says which networks have no server though they should, one line each.
func (v *Servers) Problems() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for network, err := range v.failed {
		list = append(list, "network "+network+" has no DHCP: "+err.Error())
	}
	slices.SortFunc(list, strings.Compare)
	return list
}
