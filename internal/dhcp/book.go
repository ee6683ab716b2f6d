package dhcp

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// Keeper stores leases. Package store has the real one.
type Keeper interface {
	// Leases returns what is stored.
	Leases() ([]nat.Lease, error)
	// SaveLeases stores some and takes others out, all or none. After it
	// returns they are on the disk.
	SaveLeases(save, drop []nat.Lease) error
}

// Book has the ledgers of all networks. It is safe for concurrent use.
type Book struct {
	keeper Keeper

	mu       sync.Mutex
	ledgers  map[string]*Ledger // by network
	watchers []chan<- struct{}
}

// NewBook returns a book with what is stored.
func NewBook(k Keeper) (*Book, error) {
	stored, err := k.Leases()
	if err != nil {
		return nil, err
	}
	byNetwork := make(map[string][]nat.Lease)
	for _, l := range stored {
		byNetwork[l.Network] = append(byNetwork[l.Network], l)
	}
	b := &Book{keeper: k, ledgers: make(map[string]*Ledger)}
	for network, leases := range byNetwork {
		b.ledgers[network] = NewLedger(leases)
	}
	return b, nil
}

func (b *Book) ledger(network string) *Ledger {
	l := b.ledgers[network]
	if l == nil {
		l = NewLedger(nil)
		b.ledgers[network] = l
	}
	return l
}

// Leases returns all leases as they are now, expired and released ones too,
// ordered by network and address.
func (b *Book) Leases(now time.Time) []nat.Lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []nat.Lease
	for _, ledger := range b.ledgers {
		for _, e := range ledger.leases {
			list = append(list, e.At(now))
		}
	}
	slices.SortFunc(list, nat.Lease.Compare)
	return list
}

// Hold keeps an address of a network for an endpoint that is being attached,
// for a minute: then the configuration says so. It is false if a client with
// another MAC has the address.
func (b *Book) Hold(network string, a netip.Addr, mac nat.MAC, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger(network).hold(a, mac, now)
}

// Forget drops the lease of an address, if there is one. The client is not
// told; it asks again when it wants to renew.
func (b *Book) Forget(network string, a netip.Addr) (nat.Lease, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ledger := b.ledgers[network]
	if ledger == nil {
		return nat.Lease{}, false, nil
	}
	delete(ledger.held, a) // of an endpoint that was attached just before
	e, ok := ledger.leases[a]
	if !ok {
		return nat.Lease{}, false, nil
	}
	gone := e.Lease
	if err := b.keeper.SaveLeases(nil, []nat.Lease{gone}); err != nil {
		return nat.Lease{}, false, err
	}
	ledger.drop(a)
	b.tell()
	return gone, true, nil
}

// Keep forgets the leases of networks that are not there any more, and those of
// addresses that a network does not have any more.
func (b *Book) Keep(networks []nat.Network) error {
	subnets := make(map[string]netip.Prefix)
	for _, n := range networks {
		subnets[n.Name] = n.Subnet
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var gone []nat.Lease
	for network, ledger := range b.ledgers {
		subnet := subnets[network]
		for a, e := range ledger.leases {
			if !subnet.Contains(a) {
				gone = append(gone, e.Lease)
				ledger.drop(a)
			}
		}
		if !subnet.IsValid() {
			delete(b.ledgers, network)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	b.tell()
	return b.keeper.SaveLeases(nil, gone)
}

// answer answers requests in the order they came, and stores what they changed
// before it returns. Requests of one network are answered one call at a time.
func (b *Book) answer(s *Scope, batch []arrival, now time.Time) ([]Outcome, error) {
	outcomes, save, drop := b.enter(s, batch, now)
	if len(save)+len(drop) == 0 {
		return outcomes, nil
	}
	if err := b.keeper.SaveLeases(save, drop); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(outcomes, Outcome.isNews) {
		return outcomes, nil // clients that renew each few seconds are no change for anybody else
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell()
	return outcomes, nil
}

// isNews reports whether others have to know.
func (o Outcome) isNews() bool { return !o.Renewed && len(o.Changed)+len(o.Dropped) > 0 }

// arrival is a request and who sent it.
type arrival struct {
	payload []byte
	from    Sender
}

func (b *Book) enter(s *Scope, batch []arrival, now time.Time) (outcomes []Outcome, save, drop []nat.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ledger := b.ledger(s.Network)
	// Of an address that several messages are about, the last word counts.
	saved, dropped := make(map[netip.Addr]nat.Lease), make(map[netip.Addr]nat.Lease)
	for _, a := range batch {
		out := Answer(s, ledger, a.payload, a.from, now)
		outcomes = append(outcomes, out)
		for _, l := range out.Dropped {
			delete(saved, l.Address)
			dropped[l.Address] = l
		}
		for _, l := range out.Changed {
			delete(dropped, l.Address)
			saved[l.Address] = l
		}
	}
	return outcomes, slices.Collect(maps.Values(saved)), slices.Collect(maps.Values(dropped))
}

// Watch ticks after leases have changed. A change that happens while a tick
// waits to be received causes no second one.
func (b *Book) Watch() <-chan struct{} {
	ticks := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers = append(b.watchers, ticks)
	return ticks
}

func (b *Book) tell() {
	for _, w := range b.watchers {
		select {
		case w <- struct{}{}:
		default: // one waits
		}
	}
}
