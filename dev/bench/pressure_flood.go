package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"golang.org/x/sys/unix"
)

const (
	floodFrames = 100_000 // different ones; sent again and again
	heldFlows   = 100     // TCP connections that are to outlive a flood
	heldPort    = 30000   // of the first, the client's
	floodPort   = 9       // of remotes that nobody has: no sink counts it, no stack answers
)

// flooder makes the frames of a flood out of a neighbour's envelope.
type flooder func(e envelope) [][]byte

// ordinaryFlow is no flood: it shows what a busy neighbour costs on this machine.
func ordinaryFlow(e envelope) [][]byte {
	e.target = scattered(0)
	return [][]byte{e.udp(flowPort, floodPort)}
}

// newFlows opens a session with each frame: other ports, and other remotes.
func newFlows(e envelope) [][]byte {
	frames := make([][]byte, floodFrames)
	for i := range frames {
		to := e
		to.target = scattered(i / 1000)
		frames[i] = to.udp(uint16(flowPort+i%1000), floodPort)
	}
	return frames
}

// firstFragments are each of a datagram of its own, of which no more comes.
func firstFragments(e envelope) [][]byte {
	frames := make([][]byte, floodFrames)
	for i := range frames {
		to := e
		to.target = scattered(i >> 16)
		frame := to.udp(flowPort, floodPort)
		clear(frame[:vnetHeader]) // no checksum is left to the device: there is none
		ip := frame[vnetHeader+traffic.EthernetHeader:]
		const moreFragments = 0x2000
		binary.BigEndian.PutUint16(ip[4:], uint16(i))
		binary.BigEndian.PutUint16(ip[6:], moreFragments)
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], ^sum(ip[:traffic.IPv4Header]))
		binary.BigEndian.PutUint16(ip[traffic.IPv4Header+6:], 0)
		frames[i] = frame
	}
	return frames
}

// scattered is a remote behind the host's default route.
func scattered(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}) }

// besideFlood takes the rate of an established flow alone and beside a
// neighbour's flood, and how many of as old TCP connections are dead after it.
func (b *Bench) besideFlood(flood flooder) func(context.Context, *contender) ([]float64, error) {
	return func(ctx context.Context, c *contender) ([]float64, error) {
		p, flooding := c.outbound, neighbourPath(c)
		e, err := p.envelope(ctx)
		if err != nil {
			return nil, err
		}
		other, err := flooding.envelope(ctx)
		if err != nil {
			return nil, err
		}
		frames := flood(other)
		held, err := holdFlows(p)
		if err != nil {
			return nil, err
		}
		defer held.close()
		var ofAlone, ofOrdinary []float64
		for range pressureLaps {
			rate := make(map[string]float64)
			for name, frames := range map[string][][]byte{"alone": nil, "ordinary": ordinaryFlow(other), "flood": frames} {
				if rate[name], err = b.burstsBeside(p, e, flooding, frames); err != nil {
					return nil, err
				}
			}
			ofAlone = append(ofAlone, 100*rate["flood"]/rate["alone"])
			ofOrdinary = append(ofOrdinary, 100*rate["flood"]/rate["ordinary"])
		}
		return []float64{percentile(ofAlone, 50), percentile(ofOrdinary, 50), float64(held.dead())}, nil
	}
}

// burstsBeside is the rate of a flow while frames of a neighbour come, if any.
func (b *Bench) burstsBeside(p path, e envelope, flooding path, frames [][]byte) (rate float64, err error) {
	measure := func() error {
		figures, err := b.bursts(p, e)
		if err == nil {
			rate = figures[0]
		}
		return err
	}
	if len(frames) == 0 {
		err = measure()
	} else {
		err = b.during(flooding, frames, measure)
	}
	return rate, err
}

// neighbourPath is the way out of the other endpoint.
func neighbourPath(c *contender) path {
	p := c.outbound
	p.client, p.local = c.topology.Endpoints[1], netip.MustParseAddr(neighbourAddress)
	return p
}

// during sends frames over and over, each at least once, while fn runs.
func (b *Bench) during(p path, frames [][]byte, fn func() error) (err error) {
	g, err := traffic.NewGenerator(p.client, p.clientLink, repeat(frames))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	var stopped atomic.Bool
	sent := 0
	flood := func() error {
		return inside(p.client, b.cpus.far, func() error {
			for !stopped.Load() || sent < len(frames) {
				n, err := g.Batch(traffic.SendBatch)
				if err != nil {
					return err
				}
				sent += n
			}
			return nil
		})
	}
	measure := func() error {
		defer stopped.Store(true)
		return fn()
	}
	return together(flood, measure)
}

// heldConnections are TCP connections through the contender.
type heldConnections struct{ clients, servers []int }

func holdFlows(p path) (held *heldConnections, err error) {
	listener, err := listenIn(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener)
	held = &heldConnections{}
	for i := range heldFlows {
		var client int
		if err := inside(p.client, anyCPU, func() (err error) {
			client, err = traffic.Connected(unix.SOCK_STREAM, netip.AddrPortFrom(p.local, uint16(heldPort+i)), p.target)
			return err
		}); err != nil {
			held.close()
			return nil, err
		}
		held.clients = append(held.clients, client)
		server, err := traffic.Accept(listener)
		if err != nil {
			held.close()
			return nil, fmt.Errorf("accept connection %d: %w", i, err)
		}
		held.servers = append(held.servers, server)
	}
	return held, nil
}

// dead counts connections over which nothing goes any more.
func (h *heldConnections) dead() (count int) {
	buffer := make([]byte, 1)
	for i, client := range h.clients {
		_, err := traffic.Write(client, buffer)
		if err == nil {
			_, err = traffic.Read(h.servers[i], buffer)
		}
		if err != nil {
			count++
		}
	}
	return count
}

func (h *heldConnections) close() {
	for _, fd := range append(h.clients, h.servers...) {
		unix.Close(fd)
	}
}

// besideSYNs takes connections to a published port alone and while SYNs from
// false sources come for a neighbour's.
func (b *Bench) besideSYNs(ctx context.Context, c *contender) ([]float64, error) {
	p := c.inbound
	e, err := p.envelope(ctx)
	if err != nil {
		return nil, err
	}
	alone, err := b.connects(ctx, p)
	if err != nil {
		return nil, err
	}
	failed := 0.0
	var beside []float64
	err = b.during(p, synFrames(e), func() (err error) {
		if beside, err = b.connects(ctx, p); err != nil {
			b.progress("beside SYNs: %v", err)
			beside, failed = []float64{0}, 1
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []float64{100 * beside[0] / alone[0], failed}, nil
}

// synFrames are SYNs for the neighbour's port, each from another address and port.
func synFrames(e envelope) [][]byte {
	frames := make([][]byte, floodFrames)
	for i := range frames {
		from := e
		from.source = scattered(i / 1000)
		frames[i] = from.syn(uint16(flowPort+i%1000), neighbourPort)
	}
	return frames
}

// syn builds the first segment of a TCP connection, its checksum left to the device.
func (e envelope) syn(sourcePort, targetPort uint16) []byte {
	const tcpHeader, protocolTCP, checksumOffset = 20, 6, 16
	frame := e.build(sourcePort, targetPort, 1)
	frame = append(frame[:vnetHeader+traffic.EthernetHeader+traffic.IPv4Header], make([]byte, tcpHeader)...)
	binary.NativeEndian.PutUint16(frame[8:], checksumOffset)
	ip := frame[vnetHeader+traffic.EthernetHeader:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[9] = protocolTCP
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip[:traffic.IPv4Header]))
	tcp := ip[traffic.IPv4Header:]
	binary.BigEndian.PutUint16(tcp, sourcePort)
	binary.BigEndian.PutUint16(tcp[2:], targetPort)
	tcp[12], tcp[13], tcp[14] = 5<<4, 0x02, 0x10 // header length, SYN, some window
	pseudo := append(e.source.AsSlice(), e.target.AsSlice()...)
	pseudo = append(pseudo, 0, protocolTCP, 0, tcpHeader)
	binary.BigEndian.PutUint16(tcp[checksumOffset:], sum(pseudo))
	return frame
}
