package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"golang.org/x/sys/unix"
)

const (
	requestConnections = 16
	requestPort        = 28100 // the first client port
	requestTurns       = 16_000
	requestsUntimed    = 1_600
)

// requests measures 16 TCP connections that are busy all the time, each with one
// request under way: the median and the 99th percentile, in µs, of the time between
// a request and its answer. Client and server have a CPU each.
func (b *Bench) requests(_ context.Context, p path) ([]float64, error) {
	return b.streamTimes(p, b.cpus.far, answerAll, askOnAll)
}

// askOnAll sends the next request on a connection as soon as it has an answer.
func askOnAll(p path) ([]float64, error) {
	connections, err := openConnections(requestConnections, func(i int) (int, error) {
		return traffic.Connected(unix.SOCK_STREAM, netip.AddrPortFrom(p.local, uint16(requestPort+i)), p.target)
	})
	if err != nil {
		return nil, err
	}
	defer closeAll(connections)
	buffer := make([]byte, requestBytes)
	asked := make([]time.Time, len(connections))
	ask := func(i int) error {
		asked[i] = time.Now()
		_, err := traffic.Write(int(connections[i].Fd), buffer)
		return err
	}
	for i := range connections {
		if err := ask(i); err != nil {
			return nil, fmt.Errorf("send the first request: %w", err)
		}
	}
	times := make([]float64, 0, requestTurns)
	for answers := 0; answers < requestsUntimed+requestTurns; {
		ready, err := readable(connections)
		if err != nil {
			return nil, err
		}
		for _, i := range ready {
			if err := readFull(int(connections[i].Fd), buffer); err != nil {
				return nil, fmt.Errorf("wait for an answer: %w", err)
			}
			if answers++; answers > requestsUntimed {
				times = append(times, microseconds(time.Since(asked[i])))
			}
			if err := ask(i); err != nil {
				return nil, fmt.Errorf("send a request: %w", err)
			}
		}
	}
	return times, nil
}

// answerAll answers the client's connections until it resets one.
func answerAll(listener int) error {
	connections, err := openConnections(requestConnections, func(int) (int, error) { return traffic.Accept(listener) })
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	defer closeAll(connections)
	buffer := make([]byte, requestBytes)
	for {
		ready, err := readable(connections)
		if err != nil {
			return err
		}
		for _, i := range ready {
			open, err := answerNext(int(connections[i].Fd), buffer)
			if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
				return nil // the client resets all, one after the other
			}
			if err != nil || !open {
				return err
			}
		}
	}
}

func openConnections(count int, open func(i int) (int, error)) (list []unix.PollFd, err error) {
	for i := range count {
		fd, err := open(i)
		if err == nil {
			list = append(list, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
			err = unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1)
		}
		if err != nil {
			closeAll(list)
			return nil, err
		}
	}
	return list, nil
}

// closeAll resets connections, so that their ports are free again at once.
func closeAll(connections []unix.PollFd) {
	for _, c := range connections {
		_ = unix.SetsockoptLinger(int(c.Fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(int(c.Fd))
	}
}

// requestPatience is how long nobody may hear anything.
const requestPatience = 5 * time.Second

// readable waits until there is something to read, and tells where.
func readable(connections []unix.PollFd) (list []int, err error) {
	for {
		n, err := unix.Poll(connections, int(requestPatience.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("wait for connections: %w", err)
		}
		if n == 0 {
			return nil, fmt.Errorf("%d connections are silent for %v", len(connections), requestPatience)
		}
		for i, c := range connections {
			if c.Revents != 0 {
				list = append(list, i)
			}
		}
		return list, nil
	}
}
