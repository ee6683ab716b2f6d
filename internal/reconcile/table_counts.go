package reconcile

import (
	"context"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// Counters returns drops by reason, and how full the tables are. Counting a
// million sessions takes a good part of a second, so what was counted of such a
// table may be some seconds old.
func (k *Kernel) Counters(context.Context) (model.Counters, error) {
	drops, err := k.datapath.Drops()
	if err != nil {
		return model.Counters{}, err
	}
	c := model.Counters{Drops: drops, MaxSessions: k.datapath.MaxSessions(), EventsLost: k.events.eventsLost()}
	c.Sessions, c.Bindings, err = k.tables.counts(time.Now, k.countTables)
	return c, err
}

func (k *Kernel) countTables() (sessions, bindings uint64, err error) {
	if err = k.datapath.Sessions(func(datapath.Session) error { sessions++; return nil }); err != nil {
		return 0, 0, err
	}
	err = k.datapath.Bindings(func(datapath.Binding) error { bindings++; return nil })
	return sessions, bindings, err
}

// tableCounts is a count of the kernel's tables, which can only be counted by reading
// them. Whoever asks often, such as a monitor, shares it with others.
type tableCounts struct {
	mu                 sync.Mutex
	sessions, bindings uint64
	at                 time.Time
	took               time.Duration
}

// A count that was quick is made anew each time; of others, no more than a
// twentieth of the time goes into counting.
const (
	quickCount = 20 * time.Millisecond
	countShare = 20
)

func (c *tableCounts) counts(now func() time.Time, count func() (sessions, bindings uint64, err error)) (sessions, bindings uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := now()
	if c.took > quickCount && began.Sub(c.at) < countShare*c.took {
		return c.sessions, c.bindings, nil
	}
	if sessions, bindings, err = count(); err != nil {
		return 0, 0, err
	}
	c.sessions, c.bindings, c.at = sessions, bindings, now()
	c.took = c.at.Sub(began)
	return sessions, bindings, nil
}
