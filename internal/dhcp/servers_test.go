package dhcp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Servers end at the same time, so many at once and no more: the kernel has each
// wait for a grace period. Here none has ended before so many have been told to.
func TestServersEndTogether(t *testing.T) {
	t.Parallel()
	const rounds = 3
	v := &Servers{running: make(map[string]*running)}
	var told atomic.Int32
	var under, most int
	together := sync.NewCond(new(sync.Mutex))
	for i := range rounds * haltedAtOnce {
		ended := make(chan struct{})
		v.running[fmt.Sprintf("n%d", i)] = &running{ended: ended, stop: func() {
			go func() {
				together.L.Lock()
				defer together.L.Unlock()
				under++
				most = max(most, under)
				group := (told.Add(1) - 1) / haltedAtOnce
				together.Broadcast()
				for told.Load() < (group+1)*haltedAtOnce {
					together.Wait()
				}
				under--
				close(ended)
			}()
		}}
	}
	done := make(chan struct{})
	go func() {
		v.Stop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("of %d servers, %d have been told to end after 20 s", rounds*haltedAtOnce, told.Load())
	}
	together.L.Lock()
	defer together.L.Unlock()
	if most > haltedAtOnce || len(v.running) > 0 {
		t.Errorf("%d servers ended at a time, %d are left", most, len(v.running))
	}
}
