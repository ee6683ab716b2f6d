package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// endsEvery is how often ends of sessions are read: a part of the flight recorder has
// room for 1,024, so an endpoint may have as many a second and none is missed.
const endsEvery = time.Second

// handshakes is how long handshakes took, of the TCP sessions that have ended.
type handshakes struct {
	mu    sync.Mutex
	total traffic.Handshakes
}

// CountHandshakes counts the handshakes of sessions as they end, until ctx ends. It costs
// connections nothing: it reads what the flight recorder has anyway.
func (k *Kernel) CountHandshakes(ctx context.Context) error {
	reader, err := k.datapath.NewEndReader()
	if err != nil {
		return err
	}
	tick := time.NewTicker(endsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		switch err := k.countEnded(reader); {
		case errors.Is(err, unix.EBADF): // closed: everything is being taken out of the kernel
			return nil
		case err != nil:
			k.log.Warn("counting handshakes", "error", err)
		}
	}
}

func (k *Kernel) countEnded(reader *datapath.EndReader) error {
	names := k.lastNames()
	k.handshakes.mu.Lock()
	defer k.handshakes.mu.Unlock()
	missed, err := reader.Read(func(e datapath.Ended) {
		if e.Protocol == model.TCP {
			k.handshakes.total.Add(names.networks[e.Network], e.Handshake)
		}
	})
	k.handshakes.total.Missed += missed
	return err
}

// Handshakes is what was counted since the daemon's start, of the networks that there are.
func (k *Kernel) Handshakes() traffic.Handshakes {
	known := make(map[string]bool)
	for _, name := range k.lastNames().networks {
		known[name] = true
	}
	k.handshakes.mu.Lock()
	defer k.handshakes.mu.Unlock()
	k.handshakes.total.Keep(func(network string) bool { return known[network] })
	return k.handshakes.total.Clone()
}
