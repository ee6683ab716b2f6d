package names

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// How much is remembered: remotes of all clients and of one, and the last names of a
// remote. An entry takes some 400 bytes, so that all take 8 MiB at most.
const (
	mostRemotes   = 16384
	clientRemotes = 512
	mostNames     = 3
)

// How long a name is good for new sessions after the time that its answer may be kept:
// programs keep addresses for longer than they may. No answer may be kept for longer
// than longest.
const (
	grace   = time.Hour
	longest = 24 * time.Hour
)

// slack is by how much the kernel's clock and the daemon's may differ about what came
// first, an answer or the session that it led to.
const slack = 100 * time.Millisecond

// Client is who asked: an inside address in its compartment.
type Client struct {
	Compartment string
	Address     netip.Addr
}

// Table is what is remembered. The zero value is not usable. It may be used by several
// goroutines.
type Table struct {
	mu      sync.RWMutex
	clients map[Client]*client
	owners  map[Client]string
	count   int // remotes of all clients
}

// client has its remotes in the order in which they were learnt last.
type client struct {
	remotes map[netip.Addr]*list.Element // of *remote
	order   list.List
}

type remote struct {
	address netip.Addr
	names   []name // the last one last
}

// name is one by which a remote was asked for.
type name struct {
	text         string
	since, until time.Time // sessions that were opened in this time are called so
}

// New returns an empty table.
func New() *Table { return &Table{clients: make(map[Client]*client)} }

// Learn notes that a client was told these addresses for a name, and that it may keep
// them for so long.
func (t *Table) Learn(who Client, text string, addresses []netip.Addr, keep time.Duration, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[who]
	if c == nil {
		c = &client{remotes: make(map[netip.Addr]*list.Element)}
		t.clients[who] = c
	}
	until := now.Add(min(keep, longest) + grace)
	for _, a := range addresses {
		e := c.remotes[a]
		if e == nil {
			t.makeRoom(c)
			e = c.order.PushBack(&remote{address: a})
			c.remotes[a] = e
			t.count++
		}
		e.Value.(*remote).learn(text, now, until)
		c.order.MoveToBack(e)
	}
	if len(c.remotes) == 0 {
		delete(t.clients, who)
	}
}

func (r *remote) learn(text string, now, until time.Time) {
	if last := len(r.names) - 1; last >= 0 && r.names[last].text == text {
		if until.After(r.names[last].until) {
			r.names[last].until = until
		}
		return
	}
	if len(r.names) == mostNames {
		r.names = append(r.names[:0], r.names[1:]...)
	}
	r.names = append(r.names, name{text, now, until})
}

// makeRoom forgets what was learnt longest ago: of this client if it has its share,
// else of the one that has most.
func (t *Table) makeRoom(c *client) {
	if len(c.remotes) >= clientRemotes {
		t.forget(c, 1)
		return
	}
	if t.count < mostRemotes {
		return
	}
	var busiest Client
	most := c
	for who, other := range t.clients {
		if len(other.remotes) > len(most.remotes) {
			most, busiest = other, who
		}
	}
	t.forget(most, max(1, len(most.remotes)/16)) // several, since all clients were looked at
	if len(most.remotes) == 0 {
		delete(t.clients, busiest)
	}
}

func (t *Table) forget(c *client, count int) {
	for range count {
		oldest := c.order.Front()
		delete(c.remotes, c.order.Remove(oldest).(*remote).address)
		t.count--
	}
}

// Name returns by which name a client had asked for a remote when it opened a session
// then; a time of zero asks for the last one. Empty: by none.
func (t *Table) Name(who Client, address netip.Addr, opened time.Time) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := t.clients[who]
	if c == nil || c.remotes[address] == nil {
		return ""
	}
	names := c.remotes[address].Value.(*remote).names
	for i := len(names) - 1; i >= 0; i-- {
		if n := &names[i]; opened.IsZero() || !n.since.After(opened.Add(slack)) {
			if !opened.IsZero() && opened.After(n.until) {
				return ""
			}
			return n.text
		}
	}
	return ""
}

// Owners says who has which address now. What one had asked for is forgotten when another
// has its address, or nobody.
func (t *Table) Owners(owners map[Client]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for who, c := range t.clients {
		if before, known := t.owners[who]; known && owners[who] != before {
			t.count -= len(c.remotes)
			delete(t.clients, who)
		}
	}
	t.owners = owners
}
