package portproxy

import (
	"container/heap"
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// silentFor is how long a connection must have been silent to give way to another
// client's. One that talks gives way to nobody, unless its client has much more than
// the one that comes.
const silentFor = 5 * time.Second

// Shares of what an Engine may have open: so that no rule takes all, and no client
// all of a rule.
const (
	pipeShare   = 4 // a part of the descriptors is for pipes
	ruleShare   = 2 // a rule may have this part of the rest,
	clientShare = 8 // a client this part
)

// places shares out the file descriptors of connections and UDP clients among rules
// and clients. It is safe for concurrent use.
type places struct {
	all, ofRule, ofClient int           // the most, in descriptors
	pipes                 int           // the most, of all loops
	silent                time.Duration // how long a connection must have been silent to give way
	begun                 time.Time

	mu      sync.Mutex
	taken   int
	clients map[netip.Prefix]int // descriptors, by client, of all rules
	rules   map[*rule]*taking
}

// time is a moment as a number that can be compared on all threads: nanoseconds since
// the places are there.
func (p *places) time(at time.Time) int64 { return int64(at.Sub(p.begun)) }

// newPlaces shares out so many descriptors.
func newPlaces(descriptors int) *places {
	rest := descriptors - descriptors/pipeShare
	return &places{
		pipes: descriptors / pipeShare / 2, silent: silentFor, all: rest, ofRule: rest / ruleShare, ofClient: rest / clientShare,
		begun: time.Now(), clients: make(map[netip.Prefix]int), rules: make(map[*rule]*taking),
	}
}

// taking is what a rule has.
type taking struct {
	taken   int
	clients map[netip.Prefix]*holding
	heavy   byTaken // the same, with connections; the one that has most comes first
}

// holding is what a client has of a rule.
type holding struct {
	client netip.Prefix
	taken  int
	conns  list.List // of *conn, those first that were not found to talk for longest
	at     int       // in heavy; -1: not there
}

// clientOf is what counts as one client: an address, for IPv6 the network that one
// subscriber has at least (RFC 6177).
func clientOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// Descriptors of one connection and of one UDP client.
const (
	filesOfConn    = 2
	filesOfSession = 1
)

// take gives a UDP client its place, if there is one.
func (p *places) take(r *rule, client netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := clientOf(client)
	if p.scarce(r, key, filesOfSession) != enough {
		return false
	}
	p.count(p.holding(r, key), r, filesOfSession)
	return true
}

// leave takes a UDP client's place back.
func (p *places) leave(r *rule, client netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(p.holding(r, clientOf(client)), r, -filesOfSession)
}

// enter gives a connection its place. If everything is taken, another one has to end
// for it; if there is none that can, the connection is refused.
func (p *places) enter(c *conn) (victim *conn, admitted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.holding(c.rule, clientOf(c.from.Addr()))
	lacks := p.scarce(c.rule, mine.client, filesOfConn)
	if lacks != enough {
		if victim = p.victim(lacks, c.rule, mine); victim == nil {
			p.count(mine, c.rule, 0)
			return nil, false
		}
	}
	c.place = mine.conns.PushBack(c)
	p.count(mine, c.rule, filesOfConn)
	return victim, true
}

// exit takes a connection's place back.
func (p *places) exit(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.holding(c.rule, clientOf(c.from.Addr()))
	if c.place != nil {
		mine.conns.Remove(c.place)
		c.place = nil
	}
	p.count(mine, c.rule, -filesOfConn)
}

// scarcity says what there is too little of for one more.
type scarcity int

const (
	enough scarcity = iota
	clientFull
	ruleFull
	allFull
)

func (p *places) scarce(r *rule, client netip.Prefix, files int) scarcity {
	switch {
	case p.clients[client]+files > p.ofClient:
		return clientFull
	case p.rules[r] != nil && p.rules[r].taken+files > p.ofRule:
		return ruleFull
	case p.taken+files > p.all:
		return allFull
	}
	return enough
}

// victim finds the connection that gives way: of the client itself if that has its
// share, else of the client that has most.
func (p *places) victim(lacks scarcity, r *rule, mine *holding) *conn {
	from := mine
	switch lacks {
	case ruleFull:
		from = p.rules[r].heaviest()
	case allFull:
		from = p.heaviest()
	}
	if from == nil {
		return nil
	}
	c, silent := from.leastTalkative(p.time(time.Now()) - int64(p.silent))
	if c == nil || !silent && from.taken <= 2*(mine.taken+filesOfConn) {
		return nil
	}
	from.conns.Remove(c.place)
	c.place = nil
	p.count(from, c.rule, 0)
	return c
}

// heaviest is the client that has most of the rule that has most.
func (p *places) heaviest() *holding {
	var most *taking
	for _, t := range p.rules {
		if len(t.heavy) > 0 && (most == nil || t.taken > most.taken) {
			most = t
		}
	}
	if most == nil {
		return nil
	}
	return most.heaviest()
}

func (t *taking) heaviest() *holding {
	if len(t.heavy) == 0 {
		return nil
	}
	return t.heavy[0]
}

// looks is how many connections are looked at to find a silent one, at a time: those
// that talk go to the end of the line, and the next time others are looked at.
const looks = 64

// leastTalkative returns a connection that has been silent since before a moment, or
// else one of those that were not looked at for longest.
func (h *holding) leastTalkative(before int64) (c *conn, silent bool) {
	for range min(looks, h.conns.Len()) {
		e := h.conns.Front()
		c := e.Value.(*conn)
		if c.active.Load() <= before {
			return c, true
		}
		h.conns.MoveToBack(e)
	}
	if e := h.conns.Front(); e != nil {
		return e.Value.(*conn), false
	}
	return nil, false
}

// holding finds what a client has of a rule.
func (p *places) holding(r *rule, client netip.Prefix) *holding {
	t := p.rules[r]
	if t == nil {
		t = &taking{clients: make(map[netip.Prefix]*holding)}
		p.rules[r] = t
	}
	h := t.clients[client]
	if h == nil {
		h = &holding{client: client, at: -1}
		t.clients[client] = h
	}
	return h
}

// count adds to what a client has. What nobody has is forgotten.
func (p *places) count(h *holding, r *rule, files int) {
	t := p.rules[r]
	p.taken += files
	t.taken += files
	h.taken += files
	if p.clients[h.client] += files; p.clients[h.client] == 0 {
		delete(p.clients, h.client)
	}
	switch {
	case h.conns.Len() > 0 && h.at < 0:
		heap.Push(&t.heavy, h)
	case h.conns.Len() > 0:
		heap.Fix(&t.heavy, h.at)
	case h.at >= 0:
		heap.Remove(&t.heavy, h.at)
	}
	if h.taken == 0 {
		delete(t.clients, h.client)
	}
	if len(t.clients) == 0 {
		delete(p.rules, r)
	}
}

// byTaken is a heap of clients.
type byTaken []*holding

func (b byTaken) Len() int           { return len(b) }
func (b byTaken) Less(i, j int) bool { return b[i].taken > b[j].taken }
func (b byTaken) Swap(i, j int)      { b[i], b[j] = b[j], b[i]; b[i].at, b[j].at = i, j }

// Push implements heap.Interface.
func (b *byTaken) Push(x any) {
	h := x.(*holding)
	h.at = len(*b)
	*b = append(*b, h)
}

// Pop implements heap.Interface.
func (b *byTaken) Pop() any {
	last := len(*b) - 1
	h := (*b)[last]
	h.at = -1
	*b = (*b)[:last]
	return h
}
