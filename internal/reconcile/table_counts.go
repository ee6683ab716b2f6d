package reconcile

import (
	"context"
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
	c := model.Counters{Drops: drops, MaxSessions: k.datapath.MaxSessions(), EventsLost: k.EventsLost()}
	counts, err := k.tableCounts.Get(time.Now, k.countTables)
	c.Sessions, c.Bindings = counts.sessions, counts.bindings
	return c, err
}

// tableCounts is how full the kernel's tables are.
type tableCounts struct{ sessions, bindings uint64 }

func (k *Kernel) countTables() (c tableCounts, err error) {
	if err = k.datapath.Sessions(func(datapath.Session) error { c.sessions++; return nil }); err != nil {
		return c, err
	}
	err = k.datapath.Bindings(func(datapath.Binding) error { c.bindings++; return nil })
	return c, err
}
