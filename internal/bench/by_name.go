package bench

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/lab"
)

// HAProxy is the rival in choosing an endpoint by name.
const HAProxy = "haproxy"

// One port for many endpoints. What is counted is the work of a proxy that does
// not end TLS: a connection is made, a ClientHello goes to the server that it
// names, 64 bytes come back, both sides close. With whole handshakes most of the
// time would be the client's and the server's, who are the same for both.
var byName = section{
	title: "one port, many endpoints by name",
	rows:  []Row{byNameRow},
	missing: func() string {
		if _, err := exec.LookPath(HAProxy); err != nil {
			return "left out, haproxy is not installed (Debian's package haproxy)"
		}
		return ""
	},
	setups: func(o Options) ([]setup, error) {
		program, err := exec.LookPath(o.Program)
		if err != nil {
			return nil, fmt.Errorf("find hostnat (build it first): %w", err)
		}
		return []setup{hostnatByName(program), {name: HAProxy, build: buildHAProxy}}, nil
	},
	measurements: func(b *Bench) []measurement {
		return []measurement{{rows: []Row{byNameRow}, laps: byNameLaps, take: b.byNameConnects}}
	},
}

var byNameRow = Row{Name: "connections by TLS server name", Unit: "1/s", Bars: []Bar{{Against: HAProxy, Limit: 0.8}}}

const (
	byNamePort  = 443
	byNameLaps  = 3
	servedNames = 75
)

func servedName(i int) string { return fmt.Sprintf("www.site%02d.example", i) }

// hostnatByName is hostnat with a rule for each name. The endpoint sees the
// client's own address.
func hostnatByName(program string) setup {
	return setup{name: Hostnat, nat: true, build: func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		d, err := startDaemon(ctx, program, t.Host)
		if err != nil {
			return running{}, err
		}
		err = d.configure(ctx, t.Endpoints[0].Name, ports)
		if err == nil {
			add := []string{"proxy", "add", "name", fmt.Sprintf(":%d", byNamePort)}
			for i := range servedNames {
				add = append(add, fmt.Sprintf("%s=c1:%d", servedName(i), insidePort))
			}
			_, err = d.run(ctx, add...)
		}
		if err != nil {
			return running{}, errors.Join(err, d.close())
		}
		return running{close: d.close, explain: d.status}, nil
	}}
}

// byNameConnects is connects with a ClientHello for a request.
func (b *Bench) byNameConnects(_ context.Context, c *contender) ([]float64, error) {
	p := c.inbound
	p.target = netip.AddrPortFrom(netip.MustParseAddr(lab.HostAddress), byNamePort)
	hellos, err := clientHellos()
	if err != nil {
		return nil, err
	}
	listener, err := listenIn(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener)
	var rate float64
	all := []func() error{func() (err error) {
		defer unix.Shutdown(listener, unix.SHUT_RD) // ends the waiting servers
		rate, err = rateOf(p, func(stopped *atomic.Bool, done *atomic.Uint64, firstPort int) error {
			return sendHellos(p, firstPort, hellos, stopped, done)
		})
		return err
	}}
	for range connectClients {
		all = append(all, func() error {
			return inside(p.server, anyCPU, func() error { return answerHellos(listener) })
		})
	}
	if err := together(all...); err != nil {
		return nil, err
	}
	return []float64{rate}, nil
}

// sendHellos is one client.
func sendHellos(p path, firstPort int, hellos [][]byte, stopped *atomic.Bool, done *atomic.Uint64) error {
	buffer := make([]byte, responseBytes+1)
	for i := 0; !stopped.Load(); i++ {
		local := netip.AddrPortFrom(p.local, uint16(firstPort+i%connectPorts))
		if err := request(local, p.target, hellos[i%len(hellos)], buffer); err != nil {
			stopped.Store(true)
			return fmt.Errorf("connection %d of a client: %w", i+1, err)
		}
		done.Add(1)
	}
	return nil
}

// answerHellos is one thread of the server, until the listener is shut down.
func answerHellos(listener int) error {
	buffer := make([]byte, 16<<10)
	for {
		fd, err := accept(listener)
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		if timedOut(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if err = readRecord(fd, buffer); err == nil {
			_, err = write(fd, buffer[:responseBytes])
		}
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
	}
}

const recordHeader = 5

// readRecord reads one TLS record: to close with bytes unread would reset the
// connection.
func readRecord(fd int, buffer []byte) error {
	for got := 0; ; {
		n, err := read(fd, buffer[got:])
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		got += n
		if got >= recordHeader && got >= recordHeader+int(binary.BigEndian.Uint16(buffer[3:])) {
			return nil
		}
	}
}

// clientHellos are what Go's TLS client says first, for each name.
func clientHellos() (all [][]byte, err error) {
	for i := range servedNames {
		hello, err := firstRecord(&tls.Config{ServerName: servedName(i)})
		if err != nil {
			return nil, fmt.Errorf("make a ClientHello: %w", err)
		}
		all = append(all, hello)
	}
	return all, nil
}

func firstRecord(config *tls.Config) ([]byte, error) {
	near, far := net.Pipe()
	defer far.Close() // ends the handshake
	go func() { _ = tls.Client(near, config).Handshake() }()
	if err := far.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	record := make([]byte, 16<<10)
	if _, err := io.ReadFull(far, record[:recordHeader]); err != nil {
		return nil, err
	}
	record = record[:recordHeader+int(binary.BigEndian.Uint16(record[3:]))]
	_, err := io.ReadFull(far, record[recordHeader:])
	return record, err
}
