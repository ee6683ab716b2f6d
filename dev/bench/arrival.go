package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

const (
	arrivalCount = 1500
	arrivalPause = 200 * time.Microsecond // between packets: the machine is idle
	arrivalPort  = 28000                  // the client's
)

// arrivals measures the way of single packets to the published port: from the
// arrival at the host's outside interface to the arrival in the endpoint's
// namespace, median and 99th percentile in µs.
func (b *Bench) arrivals(_ context.Context, c *contender) (figures []float64, err error) {
	p := c.inbound
	first, err := traffic.NewStamp(c.topology.Host, lab.HostLink, p.target.Port(), arrivalCount, traffic.VerdictNext)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, first.Close()) }()
	second, err := traffic.NewStamp(p.server, p.serverLink, p.listen.Port(), arrivalCount, traffic.VerdictDrop)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	if err := inside(p.client, b.cpus.near, func() error { return sendNumbered(p) }); err != nil {
		return nil, err
	}
	times, err := difference(first, second)
	if err != nil {
		return nil, err
	}
	return []float64{percentile(times, 50), percentile(times, 99)}, nil
}

func sendNumbered(p path) error {
	fd, err := traffic.Connected(unix.SOCK_DGRAM, netip.AddrPortFrom(p.local, arrivalPort), p.target)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	payload := make([]byte, payloadBytes)
	for i := range uint32(arrivalCount) {
		binary.BigEndian.PutUint32(payload, i)
		if _, err := traffic.Write(fd, payload); err != nil {
			return fmt.Errorf("send packet %d: %w", i, err)
		}
		time.Sleep(arrivalPause)
	}
	return nil
}

func difference(first, second *traffic.Stamp) ([]float64, error) {
	from, err := first.Read()
	if err != nil {
		return nil, err
	}
	to, err := second.Read()
	if err != nil {
		return nil, err
	}
	var times []float64
	for i := range from {
		if from[i] != 0 && to[i] > from[i] {
			times = append(times, float64(to[i]-from[i])/1e3)
		}
	}
	if len(times)*100 < len(from)*99 {
		return nil, fmt.Errorf("only %d of %d packets came through", len(times), len(from))
	}
	return times, nil
}
