package bench

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/dev/bench/traffic"
	"github.com/hostnat/hostnat/dev/lab"
)

// HAProxy is the rival in choosing an endpoint by name.
const HAProxy = "haproxy"

// One port for many endpoints. What is counted is the work of a proxy that does
// not end TLS: a connection is made, a ClientHello goes to the server that it
// names, 64 bytes come back, both sides close. With whole handshakes most of the
// time would be the client's and the server's, who are the same for both.
var byName = section{
	title:   "one port, many endpoints by name",
	rows:    []Row{byNameRow},
	missing: notInstalled(HAProxy, "haproxy"),
	setups: func(o Options) ([]setup, error) {
		program, err := o.program()
		if err != nil {
			return nil, err
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
	add := []string{"proxy", "add", "name", fmt.Sprintf(":%d", byNamePort)}
	for i := range servedNames {
		add = append(add, fmt.Sprintf("%s=c1:%d", servedName(i), insidePort))
	}
	return hostnatThen(program, add)
}

// byNameConnects is connects with a ClientHello for a request.
func (b *Bench) byNameConnects(_ context.Context, c *contender) ([]float64, error) {
	p := c.inbound
	p.target = netip.AddrPortFrom(netip.MustParseAddr(lab.HostAddress), byNamePort)
	hellos, err := clientHellos()
	if err != nil {
		return nil, err
	}
	return conversations(p, conversation{requests: hellos, receive: readRecord})
}

const recordHeader = 5

// readRecord reads one TLS record: to close with bytes unread would reset the
// connection.
func readRecord(fd int, buffer []byte) error {
	for got := 0; ; {
		n, err := traffic.Read(fd, buffer[got:])
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
	if err := far.SetDeadline(time.Now().Add(traffic.Patience)); err != nil {
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
