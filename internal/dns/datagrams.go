package dns

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// Datagrams are read many at a time. If one full batch comes after the other, some
// client asks faster than it can be answered: of each batch so many are answered then,
// the same number for each client, and the others are dropped, as on a full link.
// Reading costs a tenth of answering, so that those who ask little are found in time.
const (
	batchSize   = 64
	manyBatches = 8  // that are full, one after the other
	fairAnswers = 16 // of each batch after that
)

// batch is what was read at a time.
type batch struct {
	data    [batchSize][maxQuery + 1]byte
	sizes   [batchSize]int
	clients [batchSize]netip.AddrPort
	count   int
}

// batches are shared by all networks: one that has nothing to read has none.
var batches = sync.Pool{New: func() any { return new(batch) }}

func (l *listener) serveUDP() {
	raw, err := l.sockets.udp.SyscallConn()
	if err != nil {
		return // it is closed
	}
	full := 0
	for {
		var b *batch
		err := raw.Read(func(fd uintptr) bool {
			b = readBatch(int(fd))
			return b != nil
		})
		if b != nil {
			if full++; b.count < batchSize {
				full = 0
			}
			l.answerBatch(b, full >= manyBatches)
			batches.Put(b)
		}
		if err != nil || l.ctx.Err() != nil {
			return
		}
	}
}

// readBatch reads what is there; nil: nothing.
func readBatch(fd int) *batch {
	b := batches.Get().(*batch)
	b.count = 0
	for b.count < batchSize {
		n, from, err := unix.Recvfrom(fd, b.data[b.count][:], unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // no more, mostly
			break
		}
		if a, ok := from.(*unix.SockaddrInet4); ok {
			b.sizes[b.count], b.clients[b.count] = n, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
			b.count++
		}
	}
	if b.count == 0 {
		batches.Put(b)
		return nil
	}
	return b
}

// answerBatch answers a batch, or the same number of questions for each client.
func (l *listener) answerBatch(b *batch, flooded bool) {
	most, answered := batchSize, map[netip.Addr]int(nil)
	if flooded {
		most, answered = b.fairShare(), make(map[netip.Addr]int)
	}
	for i, client := range b.clients[:b.count] {
		if b.sizes[i] > maxQuery || !l.mayAsk(client) {
			continue
		}
		if flooded {
			if answered[client.Addr()]++; answered[client.Addr()] > most {
				l.refuse()
				continue
			}
		}
		l.handleDatagram(b.data[i][:b.sizes[i]], client)
	}
}

// fairShare is how many datagrams of each client are answered.
func (b *batch) fairShare() int {
	clients := make(map[netip.Addr]bool)
	for _, c := range b.clients[:b.count] {
		clients[c.Addr()] = true
	}
	return max(1, fairAnswers/len(clients))
}

// receiveBuffer is how much waits to be read, in bytes: some thousand questions.
const receiveBuffer = 2 << 20

// setReceiveBuffer has more datagrams wait than others have, whatever the host's
// limit is (net.core.rmem_max), if we may.
func setReceiveBuffer(udp *net.UDPConn) error {
	c, err := udp.SyscallConn()
	if err != nil {
		return fmt.Errorf("set the receive buffer: %w", err)
	}
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	})
}
