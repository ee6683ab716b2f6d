package test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// TestMappingsMoveUnderTraffic moves a port to and fro between two endpoints,
// one change right after the other, while one UDP socket and TCP connections
// send to it without pause and the UDP server answers. Nothing reaches an
// endpoint that the port did not lead to at some time between being sent and
// being received.
func TestMappingsMoveUnderTraffic(t *testing.T) {
	top := lab.StartTopology(t, 2)
	h := startOn(t, top)
	if _, err := h.AttachEndpoint(t.Context(), api.EndpointSpec{Network: "web", Name: "c2", Netns: top.Endpoints[1].Name}); err != nil {
		t.Fatal(err)
	}
	udp, tcp := &mover{h: h, protocol: "udp"}, &mover{h: h, protocol: "tcp"}
	for i, n := range top.Endpoints {
		udp.receive(n, i)
		tcp.accept(n, i)
	}
	for _, m := range []*mover{udp, tcp} {
		m.add()
	}
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() { udp.sendFromOneSocket(ctx) })
	sending.Go(func() { tcp.connect(ctx) })

	const moves = 100 // of both, which are two changes each
	var changing time.Duration
	for i := range moves {
		changing += udp.move() + tcp.move()
		for _, m := range []*mover{udp, tcp} { // each has its time, however slow the machine is
			h.waitFor(30*time.Second, m.protocol+" to reach the endpoint that the port leads to now", func() bool { return m.received[(i+1)%2].Load() > m.before })
		}
	}
	t.Logf("%.0f changes a second", 4*moves/changing.Seconds())
	stop()
	sending.Wait()
	for _, m := range []*mover{udp, tcp} {
		t.Logf("%s: the endpoints received %d and %d messages", m.protocol, m.received[0].Load(), m.received[1].Load())
	}
	if udp.answers.Load() == 0 {
		t.Error("no answer came back")
	}
	h.checkDrops()
}

// mover has one mapping, and knows at any time where it may lead. Its step
// counts: the mapping leads to endpoint k (modulo 2) from step 4k-1, where it is
// being added, to 4k+1, where it is being deleted; at 4k+2 it is gone. Messages
// carry the step at which they were sent.
type mover struct {
	h        *host
	protocol string
	id       uint32
	step     atomic.Int64
	received [2]atomic.Int64
	before   int64 // what the endpoint that it was moved to last had received until then
	answers  atomic.Int64
}

const moverPort = "203.0.113.1:9000"

func (m *mover) add() {
	m.h.t.Helper()
	internal := []string{"c1:9000", "c2:9000"}[(m.step.Load()+1)/4%2]
	added, err := m.h.AddMapping(m.h.t.Context(), api.MappingSpec{Protocol: m.protocol, External: "9000", Internal: internal})
	if err != nil {
		m.h.t.Fatal(err)
	}
	m.id = added.ID
}

// move returns how long the two changes took.
func (m *mover) move() time.Duration {
	m.h.t.Helper()
	m.before = m.received[((m.step.Load()+1)/4+1)%2].Load()
	start := time.Now()
	m.step.Add(1)
	if err := m.h.DeleteMapping(m.h.t.Context(), m.id); err != nil {
		m.h.t.Fatal(err)
	}
	m.step.Add(1)
	m.step.Add(1)
	m.add()
	took := time.Since(start)
	m.step.Add(1)
	return took
}

// check is told of a message that an endpoint has received.
func (m *mover) check(endpoint int, message []byte) {
	now, sent := m.step.Load(), int64(binary.BigEndian.Uint64(message))
	m.received[endpoint].Add(1)
	for k := sent / 4; 4*k-1 <= now; k++ {
		if k%2 == int64(endpoint) && sent <= 4*k+1 {
			return
		}
	}
	m.h.t.Errorf("%s: endpoint %d received at step %d what was sent at %d: the port did not lead there", m.protocol, endpoint+1, now, sent)
}

func (m *mover) message() []byte { return binary.BigEndian.AppendUint64(nil, uint64(m.step.Load())) }

// receive takes datagrams and answers them. An answer that leaves while the port
// is gone gets another one, and a session of its own, from which the mapping takes
// over when it is back.
func (m *mover) receive(n *lab.Namespace, endpoint int) {
	conn, err := n.ListenPacket("udp4", ":9000")
	if err != nil {
		m.h.t.Fatal(err)
	}
	m.h.t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 64)
		for {
			size, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			m.check(endpoint, b[:size])
			_, _ = conn.WriteTo(b[:size], from)
		}
	}()
}

func (m *mover) accept(n *lab.Namespace, endpoint int) {
	listener, err := n.Listen("tcp4", ":9000")
	if err != nil {
		m.h.t.Fatal(err)
	}
	m.h.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				b := make([]byte, 8)
				for conn.SetDeadline(time.Now().Add(time.Second)) == nil {
					if _, err := io.ReadFull(conn, b); err != nil {
						return
					}
					m.check(endpoint, b)
				}
			}()
		}
	}()
}

const betweenMessages = 500 * time.Microsecond

func (m *mover) sendFromOneSocket(ctx context.Context) {
	conn, err := m.h.Remote.Dial(ctx, "udp", moverPort)
	if err != nil {
		m.h.t.Error(err)
		return
	}
	defer conn.Close()
	go m.countAnswers(conn)
	for ctx.Err() == nil {
		_, _ = conn.Write(m.message()) // refused: the port is gone at the moment
		time.Sleep(betweenMessages)
	}
}

func (m *mover) countAnswers(conn net.Conn) {
	b := make([]byte, 64)
	for {
		_, err := conn.Read(b)
		switch {
		case err == nil:
			m.answers.Add(1)
		case errors.Is(err, net.ErrClosed):
			return
		}
	}
}

// connect sends over one connection as long as it holds, then over the next.
func (m *mover) connect(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := m.dial(ctx)
		if err != nil { // the port is gone at the moment
			time.Sleep(betweenMessages)
			continue
		}
		for ctx.Err() == nil && conn.SetDeadline(time.Now().Add(time.Second)) == nil {
			if _, err := conn.Write(m.message()); err != nil {
				break
			}
			time.Sleep(betweenMessages)
		}
		conn.Close()
	}
}

func (m *mover) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	return m.h.Remote.Dial(ctx, "tcp", moverPort)
}
