package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// dropSpareQueues removes the queues of spare ports that are empty and on addresses
// that their NAT does not have any more: an address that changes each day would
// leave one each day.
func (d *Datapath) dropSpareQueues(pools map[kernel.PoolKey]kernel.Pool) error {
	type natAddress struct{ nat, address uint32 }
	known := make(map[natAddress]bool)
	for key, pool := range pools {
		for _, a := range pool.Address {
			known[natAddress{key.Nat, a.Address}] = true
		}
	}
	var gone []kernel.SpareQueueKey
	err := kernel.Each(d.objects.SpareQueues, func(key *kernel.SpareQueueKey, queue *kernel.SpareQueue) error {
		if queue.First == queue.Next && !known[natAddress{key.Nat, key.Address}] {
			gone = append(gone, *key)
		}
		return nil
	})
	for i := range gone {
		if deleteErr := d.objects.SpareQueues.Delete(&gone[i]); deleteErr != nil && !errors.Is(deleteErr, ebpf.ErrKeyNotExist) {
			err = errors.Join(err, deleteErr)
		}
	}
	if err != nil {
		return fmt.Errorf("removing queues of spare ports: %w", err)
	}
	return nil
}
