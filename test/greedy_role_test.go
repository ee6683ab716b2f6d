package test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// greedVariable makes this test program one of those that are greedy, or who answers beside
// them: "ROLE ARGUMENT...". Each is a program of its own, so that who measures waits for none.
const greedVariable = "HOSTNAT_TEST_GREED"

// greeds are the roles, and what they do.
var greeds = map[string]func(args []string, count int) error{
	"connections": keepConnecting, // SOCKET COUNT: so many idle connections to the API
	"watchers":    keepWatching,   // SOCKET COUNT: so many want to watch events
	"clients":     keepClients,    // ADDRESS COUNT: so many idle connections to a port proxy
	"sources":     sendMadeUp,     // OWN-MAC MAC COUNT: datagrams to a UDP proxy, from so many sources
	"hasty":       keepHasty,      // ADDRESS COUNT: connects to a port proxy and closes, by so many threads
	"flows":       sendFlows,      // OWN-MAC MAC COUNT: datagrams from so many ports, without pause
	"answers":     answerAlways,   // ADDRESS PATH COUNT: an echo by TCP and UDP, and at a socket
}

func runGreed(order string) int {
	args := strings.Fields(order)
	count, err := strconv.Atoi(args[len(args)-1])
	if err == nil {
		err = greeds[args[0]](args[1:], count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, order+":", err)
		return 1
	}
	return 0
}

// How long those wait who were sent away: they are greedy for places, not for the processor's time.
const (
	regret         = 2 * time.Millisecond // and the next connection is tried
	regretWatching = 10 * time.Second     // and this watcher tries again
)

// keepConnecting opens connections, and others for those that are closed.
func keepConnecting(args []string, count int) (err error) {
	held := make([]net.Conn, count)
	for {
		for i := range held {
			if held[i] != nil && isOpen(held[i]) {
				continue
			}
			time.Sleep(regret)
			if held[i], err = net.DialTimeout("unix", args[0], time.Second); err != nil {
				held[i] = nil
				continue
			}
			_, _ = held[i].Write([]byte("GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// isOpen reads what has come, and reports whether the other end is still there.
func isOpen(c net.Conn) bool {
	b := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(time.Microsecond))
	for {
		_, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
		if err != nil {
			c.Close()
			return false
		}
	}
}

// keepWatching watches events, again and again where that is refused.
func keepWatching(args []string, count int) error {
	c := api.NewClient(args[0])
	for range count {
		go func() {
			for {
				if events, err := c.Watch(context.Background(), api.EventFilter{}); err == nil {
					for range events { // until the stream ends
					}
				}
				time.Sleep(regretWatching)
			}
		}()
	}
	select {}
}

// keepClients opens connections and says nothing on them.
func keepClients(args []string, count int) error {
	held := make([]net.Conn, 0, count)
	for len(held) < count {
		c, err := net.DialTimeout("tcp", args[0], time.Second)
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		held = append(held, c)
	}
	select {}
}

// sendMadeUp sends to the UDP proxy, from addresses that nobody has.
func sendMadeUp(args []string, count int) error {
	from, to, err := twoMACs(args)
	if err != nil {
		return err
	}
	frames := make([][]byte, count)
	for i := range frames {
		source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 4000)
		frames[i] = ethernet(from, to, wire.EtherIPv4,
			wire.Segment{Protocol: model.UDP, From: source, To: netip.MustParseAddrPort(lab.HostAddress + ":9091"), Payload: []byte("x")}.IP())
	}
	out, err := openFrames(lab.RemoteLink)
	for i := 0; err == nil; i++ {
		if err = out.send(frames[i%count]); i%count == count-1 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	return err
}

// sendFlows floods the session table from c1, without end.
func sendFlows(args []string, count int) error {
	from, to, err := twoMACs(args)
	for err == nil {
		err = floodFlows(from, to, count)
	}
	return err
}

// floodFlows sends a datagram of each of so many flows from c1, in whose namespace it runs.
func floodFlows(from, to net.HardwareAddr, flows int) error {
	out, err := openFrames("eth0")
	if err != nil {
		return err
	}
	defer out.close()
	frame := ethernet(from, to, wire.EtherIPv4, datagram(netip.MustParseAddr("172.16.1.2"), netip.MustParseAddr(lab.RemoteAddress)))
	for i := range flows {
		binary.BigEndian.PutUint16(frame[34:], uint16(10000+i%1000))
		binary.BigEndian.PutUint16(frame[36:], uint16(20000+i/1000))
		if err := out.send(frame); err != nil {
			return fmt.Errorf("flow %d: %w", i, err)
		}
	}
	return nil
}

func twoMACs(args []string) (from, to net.HardwareAddr, err error) {
	from, err = net.ParseMAC(args[0])
	to, err2 := net.ParseMAC(args[1])
	return from, to, errors.Join(err, err2)
}

// frameSocket sends frames at a link, past all other sockets.
type frameSocket struct {
	fd int
	to *unix.SockaddrLinklayer
}

// openFrames opens one in the namespace that it is called in.
func openFrames(link string) (f frameSocket, err error) {
	at, err := net.InterfaceByName(link)
	if err != nil {
		return f, err
	}
	f.to = &unix.SockaddrLinklayer{Ifindex: at.Index}
	f.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	return f, err
}

func (f frameSocket) send(frame []byte) error {
	for {
		if err := unix.Sendto(f.fd, frame, 0, f.to); err != unix.ENOBUFS {
			return err
		}
	}
}

func (f frameSocket) close() { unix.Close(f.fd) }

// answerAlways sends back what comes, by TCP and UDP at an address and at a socket in a
// folder: it is the least that a program can do, so that what it needs the machine takes.
func answerAlways(args []string, _ int) error {
	udp, err := net.ListenPacket("udp4", args[0])
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp4", args[0])
	if err != nil {
		return err
	}
	local, err := net.Listen("unix", args[1])
	if err != nil {
		return err
	}
	for _, l := range []net.Listener{tcp, local} {
		go acceptAndEcho(l)
	}
	b := make([]byte, 2048)
	for {
		n, from, err := udp.ReadFrom(b)
		if err != nil {
			return err
		}
		_, _ = udp.WriteTo(b[:n], from)
	}
}

func acceptAndEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, bufio.NewReaderSize(c, 512))
		}()
	}
}
