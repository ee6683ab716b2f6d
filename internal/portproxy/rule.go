package portproxy

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// rule is a proxy at work.
type rule struct {
	proxy   model.Proxy
	chooser Chooser // nil: there is one target
	names   *names
	stats   stats
	accepts accepts
	ports   sourcePorts
	loops   atomic.Pointer[error] // what is relayed would come back

	listening map[socketKey]*socket // guarded by Engine.mu
	trouble   string                // why it does not listen everywhere; guarded by Engine.mu
}

func newRule(p model.Proxy, n *names) *rule {
	r := &rule{proxy: p, names: n, listening: make(map[socketKey]*socket)}
	if p.Kind == model.ByName {
		r.chooser = newNameChooser(p.Routes)
	}
	return r
}

// server is an address of a target, and the link to it if that is certain.
type server struct {
	address netip.Addr
	device  string
}

// servers returns where a target is now.
func (r *rule) servers(target model.HostPorts) ([]server, error) {
	if err := r.loops.Load(); err != nil {
		return nil, *err
	}
	all, err := r.names.servers(target.Host)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", target, err)
	}
	var fit []server
	for _, s := range all {
		if s.address.Is4() && r.proxy.ConnectsTo4() || s.address.Is6() && r.proxy.ConnectsTo6() {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("connect to %s: it has no address of the kind that %s asks for", target, r.proxy.Kind)
	}
	return fit, nil
}

// failed has a target's name looked up again soon.
func (r *rule) failed(target model.HostPorts) { r.names.doubt(target.Host) }

// view is the rule's state for people. The caller holds Engine.mu.
func (r *rule) view() model.ProxyState {
	s := model.ProxyState{
		Connections: r.stats.now.Load(), TotalConnections: r.stats.total.Load(),
		Refused: r.stats.refused.Load(), GaveWay: r.stats.gaveWay.Load(),
		BytesIn: r.stats.in.Load(), BytesOut: r.stats.out.Load(),
		Listening: len(r.listening) > 0 && r.trouble == "", Problem: r.trouble,
	}
	if err := r.loops.Load(); err != nil {
		s.Problem = (*err).Error()
	} else if s.Problem == "" {
		s.Problem = r.names.problem(r.proxy.Targets())
	}
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	if s.LastError = r.stats.lastError; s.LastError != "" {
		at := r.stats.lastTime.UTC().Truncate(time.Millisecond)
		s.LastErrorAt = &at
	}
	return s
}
