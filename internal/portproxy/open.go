package portproxy

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// socketKey is what a rule listens on.
type socketKey struct {
	at     netip.AddrPort
	offset int
}

// socket is an open listener: of all loops, or a UDP socket of one.
type socket struct {
	fd  int
	tcp []*tcpListener // one a loop
	udp *udpListener
	on  *loop // that has udp
}

// sync opens and closes listeners until they are as wanted. The caller holds
// both locks.
func (e *Engine) sync() {
	e.findLoops()
	if e.loops == nil {
		return
	}
	for _, r := range e.rules {
		e.syncRule(r)
	}
}

func (e *Engine) syncRule(r *rule) {
	was := r.trouble
	r.trouble = ""
	wanted, err := r.wanted()
	if err != nil {
		r.trouble = fmt.Sprintf("listen on %s: %v", r.proxy.Listen, err)
	}
	for key, s := range r.listening {
		if !wanted[key] {
			e.closeListener(r, key, s)
		}
	}
	for key := range wanted {
		if r.listening[key] != nil {
			continue
		}
		if err := e.open(r, key); err != nil && !r.optional(key, err) && r.trouble == "" {
			r.trouble = fmt.Sprintf("listen on %s: %v", key.at, explain(err))
		}
	}
	if r.trouble != was && r.trouble != "" {
		e.log.Warn("a port proxy does not listen", "proxy", r.proxy.ID, "problem", r.trouble)
	}
}

// explain says the two usual errors in the words of the matter.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return errors.New("the host does not have the address now")
	case errors.Is(err, unix.EADDRINUSE):
		return errors.New("another program has the port")
	}
	return err
}

// optional reports whether a proxy for both families can do without this one.
func (r *rule) optional(key socketKey, err error) bool {
	return r.proxy.Kind == model.ByName && r.proxy.Listen.Host == model.AnyHost && key.at.Addr().Is6() &&
		(errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL))
}

// wanted is what the rule listens on, as names lead now.
func (r *rule) wanted() (map[socketKey]bool, error) {
	addresses, err := r.listenAddresses()
	out := make(map[socketKey]bool)
	for _, a := range addresses {
		for i := range r.proxy.Listen.Ports.Size() {
			out[socketKey{netip.AddrPortFrom(a, r.proxy.Listen.Port(i)), i}] = true
		}
	}
	return out, err
}

func (r *rule) listenAddresses() ([]netip.Addr, error) {
	p := r.proxy
	var all []netip.Addr
	if p.Listen.Host == model.AnyHost {
		all = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	} else {
		servers, err := r.names.servers(p.Listen.Host)
		if err != nil {
			return nil, err
		}
		for _, s := range servers {
			all = append(all, s.address)
		}
	}
	var fit []netip.Addr
	for _, a := range all {
		if a.Is4() && p.ListensOn4() || a.Is6() && p.ListensOn6() {
			fit = append(fit, a)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("it has no address of the kind that %s asks for", p.Kind)
	}
	return fit, nil
}

func (e *Engine) open(r *rule, key socketKey) error {
	if r.proxy.Protocol == model.UDP {
		return e.openUDP(r, key)
	}
	fd, err := listenSocket(key.at)
	if err != nil {
		return err
	}
	if r.chooser != nil {
		if err := clientFirst(fd); err != nil {
			unix.Close(fd)
			return err
		}
	}
	s := &socket{fd: fd}
	for _, l := range e.loops {
		t := &tcpListener{rule: r, fd: fd, slot: -1, offset: key.offset}
		s.tcp = append(s.tcp, t)
		l.post(func() { err = errors.Join(err, l.listen(t)) })
	}
	r.listening[key] = s
	if err != nil {
		e.closeListener(r, key, s)
	}
	return err
}

func (e *Engine) openUDP(r *rule, key socketKey) error {
	fd, err := udpSocket(key.at)
	if err != nil {
		return err
	}
	l := e.loops[e.turn%len(e.loops)]
	e.turn++
	u := &udpListener{rule: r, fd: fd, slot: -1, offset: key.offset}
	s := &socket{fd: fd, udp: u, on: l}
	l.post(func() { err = l.serveUDP(u) })
	r.listening[key] = s
	if err != nil {
		e.closeListener(r, key, s)
	}
	return err
}

// closeListener closes one; its TCP connections live on.
func (e *Engine) closeListener(r *rule, key socketKey, s *socket) {
	delete(r.listening, key)
	for i, t := range s.tcp {
		l := e.loops[i]
		l.post(func() { l.ignore(t) })
	}
	if s.udp != nil {
		s.on.post(func() { s.on.endUDP(s.udp) })
	}
	unix.Close(s.fd)
}
