package portproxy

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// comer returns a connection that has just come.
func comer(p *places, r *rule, from string) *conn {
	c := &conn{rule: r, from: netip.AddrPortFrom(netip.MustParseAddr(from), 1)}
	c.active.Store(p.time(time.Now()))
	return c
}

// fill has a client open connections until one is refused, and returns those that were not.
func fill(p *places, r *rule, from string) (list []*conn) {
	for len(list) < 10000 {
		c := comer(p, r, from)
		victim, admitted := p.enter(c)
		if !admitted || victim != nil {
			if admitted {
				p.exit(c)
			}
			return list
		}
		list = append(list, c)
	}
	return list
}

// Of 1,280 descriptors 960 are for connections, two each: 480; 240 a rule, 60 a client.
func TestShares(t *testing.T) {
	t.Parallel()
	p, one, two := newPlaces(1280), &rule{}, &rule{}
	if got := len(fill(p, one, "10.0.0.1")); got != 60 {
		t.Errorf("one client has %d connections", got)
	}
	if got := len(fill(p, two, "10.0.0.1")); got != 0 {
		t.Errorf("it has %d more by another proxy", got)
	}
	for i, a := range []string{"10.0.0.2", "10.0.0.3", "2001:db8::1"} {
		if got := len(fill(p, one, a)); got != 60 {
			t.Errorf("client %d more has %d", i, got)
		}
	}
	if _, admitted := p.enter(comer(p, one, "2001:db8::ffff:1")); admitted {
		t.Error("another address of an IPv6 network is another client")
	}
	if p.rules[one].taken != p.ofRule {
		t.Fatalf("the rule has %d of %d descriptors", p.rules[one].taken, p.ofRule)
	}
	if _, admitted := p.enter(comer(p, two, "10.0.0.9")); !admitted {
		t.Error("when one proxy is full, another one is")
	}
}

// When a proxy is full, a client that comes gets a place at the cost of the one that
// has most: of its silent connections, or of any if it has much more.
func TestWhoGivesWay(t *testing.T) {
	t.Parallel()
	p, r := newPlaces(1280), &rule{}
	var heavy []*conn
	for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		heavy = append(heavy, fill(p, r, a)...)
	}
	light := fill(p, r, "10.0.0.4")
	for _, c := range light[1:] {
		p.exit(c)
	}
	light = light[:1]
	light[0].active.Store(p.time(time.Now().Add(-time.Hour)))
	var others []*conn
	for i := range 59 {
		c := comer(p, r, netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}).String())
		if victim, admitted := p.enter(c); !admitted || victim != nil {
			t.Fatalf("the proxy is full already: %t, %v", admitted, victim)
		}
		others = append(others, c)
	}
	quiet := heavy[7]
	quiet.active.Store(p.time(time.Now().Add(-2 * silentFor)))
	first, second := comer(p, r, "10.0.0.5"), comer(p, r, "10.0.0.6")
	victim, admitted := p.enter(first)
	if !admitted || victim == nil || victim.from.Addr() != heavy[0].from.Addr() {
		t.Fatalf("%t, %v gives way", admitted, victim)
	}
	if victim != quiet {
		t.Error("one that talks gives way though another is silent")
	}
	p.exit(victim)
	// Nobody of the heavy ones is silent now.
	victim, admitted = p.enter(second)
	if !admitted || victim == nil || victim == light[0] || victim.from.Addr().As4()[2] == 1 {
		t.Fatalf("%t, %v gives way", admitted, victim)
	}
	p.exit(victim)
	// A client that has as many as any gets no more at the cost of those that talk.
	for _, c := range others {
		c.active.Store(p.time(time.Now()))
	}
	if victim, admitted := p.enter(comer(p, r, "10.0.0.2")); admitted && victim != nil && victim.from.Addr() != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("%s gives way to one that has more", victim.from)
	}
}

// A client at its limit gets another connection for the one that was silent longest.
func TestOwnOldestGivesWay(t *testing.T) {
	t.Parallel()
	p, r := newPlaces(1280), &rule{}
	list := fill(p, r, "10.0.0.1")
	if _, admitted := p.enter(comer(p, r, "10.0.0.1")); admitted {
		t.Error("one that talks gives way")
	}
	for _, c := range list {
		c.active.Store(p.time(time.Now().Add(-2 * silentFor)))
	}
	list[0].active.Store(p.time(time.Now()))
	victim, admitted := p.enter(comer(p, r, "10.0.0.1"))
	if !admitted || victim != list[1] {
		t.Errorf("%t, %v", admitted, victim)
	}
}

// Whatever comes and goes, the shares hold, and in the end nothing is left.
func TestPlacesAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPlaces(160) // 120: 60 a rule, 15 a client
		rules := []*rule{{}, {}, {}}
		type datagrams struct {
			r    *rule
			from netip.Addr
		}
		var conns []*conn
		var sessions []datagrams
		draw := func() (*rule, netip.Addr) {
			return rapid.SampledFrom(rules).Draw(t, "rule"), netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 20).Draw(t, "client"))})
		}
		gone := map[*conn]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"connect": func(*rapid.T) {
				r, a := draw()
				c := comer(p, r, a.String())
				if rapid.Bool().Draw(t, "silent") {
					c.active.Store(p.time(time.Now().Add(-time.Minute)))
				}
				victim, admitted := p.enter(c)
				if victim != nil {
					if gone[victim] || !admitted {
						t.Fatalf("%v ends twice, or for nobody", victim)
					}
					gone[victim] = true
					p.exit(victim)
				}
				if admitted {
					conns = append(conns, c)
				}
			},
			"end": func(*rapid.T) {
				if len(conns) > 0 {
					if c := conns[0]; !gone[c] {
						gone[c] = true
						p.exit(c)
					}
					conns = conns[1:]
				}
			},
			"datagram": func(*rapid.T) {
				if r, a := draw(); p.take(r, a) {
					sessions = append(sessions, datagrams{r, a})
				}
			},
			"silence": func(*rapid.T) {
				if len(sessions) > 0 {
					p.leave(sessions[0].r, sessions[0].from)
					sessions = sessions[1:]
				}
			},
			"": func(*rapid.T) {
				want := len(sessions)
				for _, c := range conns {
					if !gone[c] {
						want += filesOfConn
					}
				}
				if p.taken != want || p.taken > p.all {
					t.Fatalf("%d of %d descriptors are taken, want %d", p.taken, p.all, want)
				}
				for client, n := range p.clients {
					if n <= 0 || n > p.ofClient {
						t.Fatalf("%s has %d", client, n)
					}
				}
				for _, taking := range p.rules {
					if taking.taken > p.ofRule {
						t.Fatalf("a rule has %d", taking.taken)
					}
					for i, h := range taking.heavy {
						if h.at != i || h.conns.Len() == 0 {
							t.Fatalf("the heap has %+v at %d", h, i)
						}
					}
				}
			},
		})
		for _, c := range conns {
			if !gone[c] {
				p.exit(c)
			}
		}
		for _, s := range sessions {
			p.leave(s.r, s.from)
		}
		if p.taken != 0 || len(p.rules) != 0 || len(p.clients) != 0 {
			t.Fatalf("left: %d, %v, %v", p.taken, p.rules, p.clients)
		}
	})
}
