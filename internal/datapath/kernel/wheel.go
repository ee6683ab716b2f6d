package kernel

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/model"
)

// StartWheel starts the clock by which sessions end, or hands it over to the
// programs just loaded. The kernel allocates a BPF timer without waiting for
// memory and so may fail to for a moment.
func StartWheel(o *Objects) error {
	const (
		started = ^uint32(0) // TCX_NEXT
		tries   = 250
		pause   = 20 * time.Millisecond
		frame   = 64 // bytes, any: a test run needs a packet
	)
	for range tries {
		verdict, err := o.StartWheel.Run(&ebpf.RunOptions{Data: make([]byte, frame)})
		if err != nil {
			return fmt.Errorf("starting the data path's clock: %w", err)
		}
		if verdict == started {
			return nil
		}
		time.Sleep(pause)
	}
	return model.Errorf(model.Unavailable, "the kernel has no memory for the data path's clock").
		WithHint("free some memory and start the daemon again")
}
