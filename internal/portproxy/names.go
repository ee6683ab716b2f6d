package portproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// How often names are looked up.
const (
	lookupEvery   = 30 * time.Second // one that is known
	lookupAgain   = 5 * time.Second  // one that is not, or not any more
	lookupTimeout = 4 * time.Second
	doubtAfter    = time.Second // how old an answer has to be before a failure casts doubt on it
)

// Lookup finds the addresses of a name.
type Lookup func(ctx context.Context, name string) ([]netip.Addr, error)

// systemLookup asks /etc/hosts and DNS as the host is set up to.
func systemLookup(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// names knows where the hosts of rules are. It is safe for concurrent use.
type names struct {
	lookup Lookup
	wake   chan struct{} // something is to be looked up
	sight  atomic.Pointer[config.ClientSight]

	mu        sync.RWMutex
	endpoints map[string]server
	known     map[string]*answer // of all hosts that are names, as wanted says
}

// answer is what is known of a name.
type answer struct {
	servers []server
	err     error
	asked   time.Time // zero: never
	due     time.Time
}

func newNames(lookup Lookup) *names {
	n := &names{lookup: lookup, wake: make(chan struct{}, 1), endpoints: map[string]server{}, known: map[string]*answer{}}
	n.sight.Store(config.NewClientSight(config.Config{}))
	return n
}

// want says which hosts there are, and which of them are endpoints.
func (n *names) want(hosts []string, endpoints map[string]server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endpoints = endpoints
	old := n.known
	n.known = make(map[string]*answer)
	for _, h := range hosts {
		_, isEndpoint := endpoints[h]
		switch _, err := netip.ParseAddr(h); {
		case err == nil || isEndpoint || h == model.AnyHost:
		case old[h] != nil:
			n.known[h] = old[h]
		default:
			n.known[h] = &answer{err: errors.New("the name was not looked up yet")}
		}
	}
	n.poke()
}

func (n *names) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// servers returns the addresses of a host.
func (n *names) servers(host string) ([]server, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []server{{address: a}}, nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if e, ok := n.endpoints[host]; ok {
		return []server{e}, nil
	}
	a := n.known[host]
	switch {
	case a == nil:
		return nil, errors.New("the name is not known")
	case len(a.servers) > 0:
		return a.servers, nil
	}
	return nil, a.err
}

// addresses is servers for those who ask where a name leads.
func (n *names) addresses(host string) []netip.Addr {
	list, _ := n.servers(host)
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = s.address
	}
	return out
}

// problem says which of the targets' names do not resolve.
func (n *names) problem(targets []model.HostPorts) string {
	for _, t := range targets {
		if _, err := n.servers(t.Host); err != nil {
			return fmt.Sprintf("%s: %v", t.Host, err)
		}
	}
	return ""
}

// doubt has a name looked up again if the answer is not quite fresh.
func (n *names) doubt(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.known[host]; a != nil && time.Since(a.asked) > doubtAfter {
		a.due = time.Now()
		n.poke()
	}
}

// run looks names up until ctx ends, and calls changed after answers that
// differ from what was known.
func (n *names) run(ctx context.Context, changed func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if n.lookUpDue(ctx) {
			changed()
		}
		timer.Reset(n.nextDue())
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
	}
}

func (n *names) nextDue() time.Duration {
	n.mu.RLock()
	defer n.mu.RUnlock()
	next := lookupEvery
	for _, a := range n.known {
		next = min(next, time.Until(a.due))
	}
	return max(next, 0)
}

// lookUpDue asks for all names whose time has come, at once.
func (n *names) lookUpDue(ctx context.Context) (changed bool) {
	var due []string
	n.mu.RLock()
	for host, a := range n.known {
		if !a.due.After(time.Now()) {
			due = append(due, host)
		}
	}
	n.mu.RUnlock()
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, host := range due {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
			defer cancel()
			addresses, err := n.lookup(ctx, host)
			differs := n.learn(host, addresses, err)
			mu.Lock()
			defer mu.Unlock()
			changed = changed || differs
		})
	}
	all.Wait()
	return changed
}

// learn takes an answer. A name server that does not answer changes nothing of
// what is known; one that says that the name is gone does.
func (n *names) learn(host string, addresses []netip.Addr, err error) (differs bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.known[host]
	if a == nil {
		return false
	}
	first := a.asked.IsZero()
	a.asked = time.Now()
	if err == nil && len(addresses) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		a.due, a.err = a.asked.Add(lookupAgain), short(err)
		if !notFound(err) || len(a.servers) == 0 {
			return first
		}
		a.servers = nil
		return true
	}
	servers := make([]server, len(addresses))
	for i, address := range addresses {
		servers[i] = server{address: address.Unmap()}
	}
	a.due, a.err = a.asked.Add(lookupEvery), nil
	differs = first || !sameServers(a.servers, servers)
	a.servers = servers
	return differs
}

// sameServers compares without order: name servers turn theirs.
func sameServers(a, b []server) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s server) bool { return !slices.Contains(b, s) })
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// short leaves out what a reader of "NAME: ..." knows already.
func short(err error) error {
	var e *net.DNSError
	switch {
	case errors.As(err, &e) && e.IsNotFound:
		return errors.New("there is no such endpoint or name")
	case errors.As(err, &e):
		return errors.New(e.Err)
	}
	return err
}
