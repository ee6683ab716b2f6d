package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/budget"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/tokens"
)

// openAgain is how long a network is left alone whose port is taken, tryAgain
// how often such are looked for.
const (
	openAgain = time.Second
	tryAgain  = 2 * time.Second
)

// fewFiles is what a process may open where nothing says otherwise (setrlimit(2)).
const fewFiles = 1024

// Options is what a Server needs.
type Options struct {
	Files Files
	Log   *slog.Logger
	// Descriptors is how many file descriptors clients of all networks may take, by
	// connections and by questions that are passed on. 0: an eighth of what the
	// process may open.
	Descriptors int
	// Holder names the program that holds the port at an address, "" if it is
	// not known. It is called when the port is taken.
	Holder func(ctx context.Context, at netip.AddrPort) string
	// Learned is told which addresses outside clients are told for the names that they
	// ask for, before they are told. nil: nobody wants to know.
	Learned func(Learned)
}

// Server is the name servers of all networks. It is safe for concurrent use.
type Server struct {
	files   Files
	log     *slog.Logger
	holder  func(ctx context.Context, at netip.AddrPort) string
	forward *forwarder
	taken   *limiter[*listener] // descriptors, by network
	opens   tokens.Rate         // connections, of each client
	learned func(Learned)

	mu        sync.Mutex
	config    config.Config      // that is served
	networks  map[string]*served // by name
	resolvers []netip.AddrPort   // in use
	problem   string             // with them
}

// served is a network and its server.
type served struct {
	bridge   string
	gateway  netip.Addr
	subnet   netip.Prefix
	listener *listener // nil: could not be opened
	problem  string
	failedAt time.Time
}

// New returns a Server that serves nothing yet.
func New(o Options) *Server {
	if o.Descriptors == 0 {
		files, err := budget.FilesOfProcess()
		if err != nil {
			files = budget.FilesOf(fewFiles)
		}
		o.Descriptors = files.Names
	}
	s := &Server{
		files: o.Files, log: o.Log, holder: o.Holder, learned: o.Learned, forward: newForwarder(), networks: map[string]*served{},
		taken: newLimiter[*listener](max(1, o.Descriptors/2), o.Descriptors), opens: clientOpens,
	}
	s.readResolvers()
	return s
}

// Run follows the host's resolvers until ctx ends, and tries again what could
// not be opened.
func (s *Server) Run(ctx context.Context) error {
	go s.repair(ctx)
	return s.files.follow(ctx, s.readResolvers)
}

func (s *Server) repair(ctx context.Context) {
	again := time.NewTicker(tryAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		s.mu.Lock()
		if len(s.problems()) > 0 {
			s.configure(ctx)
		}
		s.mu.Unlock()
	}
}

// Configure serves the networks of a configuration that want it, and no others.
// Called again it repairs: a port that was taken is tried again, a bridge that
// was made anew is listened on.
func (s *Server) Configure(ctx context.Context, cfg config.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config = cfg
	s.configure(ctx)
}

// configure serves s.config. The caller holds mu.
func (s *Server) configure(ctx context.Context) {
	zones := Zones(s.config)
	wanted := make(map[string]model.Network)
	for _, n := range s.config.Networks {
		if zones[n.Name] != nil {
			wanted[n.Name] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.networks)) {
		if n, wants := wanted[name]; !wants || !s.networks[name].fits(n) {
			s.networks[name].close()
			delete(s.networks, name)
		}
	}
	s.readResolversLocked(wanted)
	for _, n := range s.config.Networks {
		if zones[n.Name] != nil {
			s.serve(ctx, n, zones[n.Name])
		}
	}
}

// serve opens a network's server if it is missing, and has it answer from the
// zone.
func (s *Server) serve(ctx context.Context, n model.Network, zone *Zone) {
	v := s.networks[n.Name]
	if v == nil {
		v = &served{bridge: n.Bridge, gateway: n.Gateway4(), subnet: n.Subnet4()}
		s.networks[n.Name] = v
	}
	if v.listener == nil && time.Since(v.failedAt) >= openAgain {
		s.open(ctx, n, v, zone)
	}
	if v.listener != nil {
		v.listener.zone.Store(zone)
	}
}

func (s *Server) open(ctx context.Context, n model.Network, v *served, zone *Zone) {
	opened, err := openSockets(ctx, v.bridge, v.gateway)
	if n.IsPointToPoint() && errors.Is(err, unix.ENODEV) { // its endpoint is away: the report on that says so
		v.problem = ""
		return
	}
	if err != nil {
		v.failedAt = time.Now()
		if problem := s.explain(ctx, n.Name, v, err); problem != v.problem {
			v.problem = problem
			s.log.Warn(problem)
		}
		return
	}
	v.listener, v.problem = newListener(opened, zone, v.subnet, v.gateway, s.forward, s.taken, s.opens, s.learnedIn(n.Compartment)), ""
	s.log.Info("names are served", "network", n.Name, "address", v.gateway, "bridge", v.bridge)
}

// explain says why a network has no names, and who could do something about it.
func (s *Server) explain(ctx context.Context, name string, v *served, err error) string {
	at := netip.AddrPortFrom(v.gateway, port)
	if !errors.Is(err, unix.EADDRINUSE) {
		return fmt.Sprintf("network %s has no DNS: %v", name, err)
	}
	who := ""
	if s.holder != nil {
		who = s.holder(ctx, at)
	}
	if who == "" {
		who = "another program"
	}
	return fmt.Sprintf("network %s has no DNS: %s holds port %d of %s; "+
		"have it listen on addresses of its own only, or turn this off with 'hostnat network set %s dns=off'", name, who, port, v.gateway, name)
}

// fits reports whether the server is that of a network as it is now.
func (v *served) fits(n model.Network) bool {
	return v.bridge == n.Bridge && v.gateway == n.Gateway4() && v.subnet == n.Subnet4() &&
		(v.listener == nil || v.listener.sockets.bound())
}

func (v *served) close() {
	if v.listener != nil {
		v.listener.close()
	}
}

func (s *Server) readResolvers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readResolversLocked(nil)
}

// readResolversLocked reads whom the host asks. The gateways are ours: whoever
// asks there asks us.
func (s *Server) readResolversLocked(wanted map[string]model.Network) {
	own := make(map[netip.Addr]bool)
	for _, v := range s.networks {
		own[v.gateway] = true
	}
	for _, n := range wanted {
		own[n.Gateway4()] = true
	}
	resolvers, err := s.files.resolvers(func(a netip.Addr) bool { return own[a] })
	switch {
	case err != nil:
		s.problem = "endpoints can look up their own names only: the host's resolvers cannot be read: " + err.Error()
	case len(resolvers) == 0:
		s.problem = "endpoints can look up their own names only: " + s.files.ResolvConf + " names no resolver but hostnat"
	default:
		s.problem = ""
	}
	if slices.Equal(resolvers, s.resolvers) {
		return
	}
	s.resolvers = resolvers
	s.forward.use(resolvers)
	s.log.Info("resolvers of the host", "list", fmt.Sprint(resolvers))
}

// Resolvers are the IPv4 addresses of those whom the host asks. One on the host itself is none
// that anything could come in the way of.
func (s *Server) Resolvers() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []netip.Addr
	for _, r := range s.resolvers {
		if a := r.Addr(); a.Is4() && !a.IsLoopback() {
			list = append(list, a)
		}
	}
	return list
}

// Problems returns what does not work, one line each.
func (s *Server) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.problems()
	for _, name := range slices.Sorted(maps.Keys(s.networks)) {
		if l := s.networks[name].listener; l != nil && l.hasRefusedLately() {
			list = append(list, fmt.Sprintf("the name server of network %s has refused %d questions and connections: clients there ask more than their share, and others go on", name, l.refused.Load()))
		}
	}
	return list
}

func (s *Server) problems() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s.networks)) {
		if p := s.networks[name].problem; p != "" {
			list = append(list, p)
		}
	}
	if len(s.networks) > 0 && s.problem != "" {
		list = append(list, s.problem)
	}
	return list
}
