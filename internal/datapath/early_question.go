package datapath

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// EarlyQuestion is a frame for a network's DHCP server that has come by a port of its
// bridge before that was checked. It went no further.
type EarlyQuestion struct {
	Network uint32
	Asked   time.Time
	Frame   []byte
}

// WatchEarlyQuestions calls sink for each until ctx ends.
func (d *Datapath) WatchEarlyQuestions(ctx context.Context, sink func(EarlyQuestion)) error {
	reader, err := ringbuf.NewReader(d.objects.EarlyQuestions)
	if err != nil {
		return fmt.Errorf("opening the ring of early questions: %w", err)
	}
	defer reader.Close()
	for ctx.Err() == nil {
		clock := d.readClock()
		err := readRing(ctx, reader, time.Now().Add(watchRefresh), func(sample []byte) {
			var raw kernel.EarlyQuestion
			if _, err := binary.Decode(sample, binary.NativeEndian, &raw); err == nil && int(raw.Length) <= len(raw.Frame) {
				sink(EarlyQuestion{Network: raw.Network, Asked: clock.time(raw.Time), Frame: raw.Frame[:raw.Length]})
			}
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// IsChecked reports whether what comes by a port of a network's switch is looked at.
func (d *Datapath) IsChecked(network, port uint32) bool {
	var row kernel.Inside
	return d.objects.Insides.Lookup(port, &row) == nil && row.Network == network && d.IsAttached(Attachment{Interface: port, Hook: PortIngress})
}
