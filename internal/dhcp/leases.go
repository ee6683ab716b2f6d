package dhcp

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Store stores leases. Package store has the real one.
type Store interface {
	// Leases returns what is stored.
	Leases() ([]model.Lease, error)
	// SaveLeases stores some and takes others out, all or none. After it
	// returns they are on the disk.
	SaveLeases(save, drop []model.Lease) error
}

// Leases has the tables of all networks. It is safe for concurrent use.
type Leases struct {
	store Store

	mu       sync.Mutex
	tables   map[string]*Table // by network
	watchers []chan<- struct{}
}

// NewLeases returns the leases that are stored.
func NewLeases(s Store) (*Leases, error) {
	stored, err := s.Leases()
	if err != nil {
		return nil, err
	}
	byNetwork := make(map[string][]model.Lease)
	for _, lease := range stored {
		byNetwork[lease.Network] = append(byNetwork[lease.Network], lease)
	}
	l := &Leases{store: s, tables: make(map[string]*Table)}
	var older []model.Lease
	for network, leases := range byNetwork {
		table, superseded := NewTable(leases)
		l.tables[network] = table
		older = append(older, superseded...)
	}
	if len(older) > 0 {
		err = s.SaveLeases(nil, older)
	}
	return l, err
}

func (l *Leases) table(network string) *Table {
	t := l.tables[network]
	if t == nil {
		t, _ = NewTable(nil)
		l.tables[network] = t
	}
	return t
}

// Leases returns all leases as they are now, expired and released ones too,
// ordered by network and address.
func (l *Leases) Leases(now time.Time) []model.Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []model.Lease
	for _, table := range l.tables {
		for _, e := range table.leases {
			list = append(list, e.At(now))
		}
	}
	slices.SortFunc(list, model.Lease.Compare)
	return list
}

// Hold keeps an address of a network for an endpoint that is being attached,
// for a minute: then the configuration says so. It is false if a client with
// another MAC has the address.
func (l *Leases) Hold(network string, a netip.Addr, mac model.MAC, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table(network).hold(a, mac, now)
}

// Forget drops the lease of an address, if there is one. The client is not
// told; it asks again when it wants to renew.
func (l *Leases) Forget(network string, a netip.Addr) (model.Lease, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	table := l.tables[network]
	if table == nil {
		return model.Lease{}, false, nil
	}
	delete(table.held, a) // of an endpoint that was attached just before
	e, ok := table.leases[a]
	if !ok {
		return model.Lease{}, false, nil
	}
	gone := e.Lease
	if err := l.store.SaveLeases(nil, []model.Lease{gone}); err != nil {
		return model.Lease{}, false, err
	}
	table.drop(a)
	l.tell()
	return gone, true, nil
}

// Keep forgets the leases of networks that are not there any more, and those of
// addresses that a network does not have any more.
func (l *Leases) Keep(networks []model.Network) error {
	subnets := make(map[string]netip.Prefix)
	for _, n := range networks {
		subnets[n.Name] = n.Subnet4()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var gone []model.Lease
	for network, table := range l.tables {
		subnet := subnets[network]
		for a, e := range table.leases {
			if !subnet.Contains(a) {
				gone = append(gone, e.Lease)
				table.drop(a)
			}
		}
		if !subnet.IsValid() {
			delete(l.tables, network)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	l.tell()
	return l.store.SaveLeases(nil, gone)
}

// answer answers requests in the order they came, and stores what they changed
// before it returns. Requests of one network are answered one call at a time.
func (l *Leases) answer(s *Scope, batch []arrival, now time.Time) ([]Outcome, error) {
	outcomes, save, drop := l.enter(s, batch, now)
	if len(save)+len(drop) == 0 {
		return outcomes, nil
	}
	if err := l.store.SaveLeases(save, drop); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(outcomes, Outcome.isNews) {
		return outcomes, nil // clients that renew each few seconds are no change for anybody else
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell()
	return outcomes, nil
}

// isNews reports whether others have to know.
func (o Outcome) isNews() bool { return !o.Renewed && len(o.Changed)+len(o.Dropped) > 0 }

// arrival is a request and who sent it.
type arrival struct {
	payload []byte
	from    Sender
}

func (l *Leases) enter(s *Scope, batch []arrival, now time.Time) (outcomes []Outcome, save, drop []model.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	table := l.table(s.Network)
	// Of an address that several messages are about, the last word counts.
	saved, dropped := make(map[netip.Addr]model.Lease), make(map[netip.Addr]model.Lease)
	for _, a := range batch {
		out := Answer(s, table, a.payload, a.from, now)
		outcomes = append(outcomes, out)
		for _, lease := range out.Dropped {
			delete(saved, lease.Address)
			dropped[lease.Address] = lease
		}
		for _, lease := range out.Changed {
			delete(dropped, lease.Address)
			saved[lease.Address] = lease
		}
	}
	return outcomes, slices.Collect(maps.Values(saved)), slices.Collect(maps.Values(dropped))
}

// Watch ticks after leases have changed. A change that happens while a tick
// waits to be received causes no second one.
func (l *Leases) Watch() <-chan struct{} {
	ticks := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, ticks)
	return ticks
}

func (l *Leases) tell() {
	for _, w := range l.watchers {
		select {
		case w <- struct{}{}:
		default: // one waits
		}
	}
}
