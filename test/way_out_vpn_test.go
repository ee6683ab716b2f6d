package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

const (
	vpnHost   = "100.64.0.1"
	vpnRemote = "100.64.0.9"
)

// TestVPNComesAndGoes: a VPN takes everything but the LANs, 100 times, while the
// uplinks' leases are renewed, one of them to another address, and a transfer and a
// published port are in use. Nothing leaves by a link under an address that is not
// that link's, nothing but the LANs by an uplink while the VPN is there, and what is
// of the LANs goes on.
func TestVPNComesAndGoes(t *testing.T) {
	const rounds = 100
	h := startHost(t)
	h.twoWays()
	h.vpn()
	var watch []*linkWatch
	for _, l := range []struct{ link, own string }{{lab.HostLink, "203.0.113."}, {"out1", "198.51.100."}, {"ts0", vpnHost}} {
		watch = append(watch, h.watchLink(l.link, l.own))
	}
	_, err := h.AddMapping(t.Context(), api.MappingSpec{Protocol: "tcp", External: "8082", Internal: "c1:82"})
	h.must(err)
	transfer := h.keepTalking(h.inside, h.Remote, ":9000", lab.RemoteAddress+":9000")
	published := h.keepTalking(h.Remote, h.inside, ":82", lab.HostAddress+":8082")
	var up, down []time.Duration
	for i := range rounds {
		began := time.Now()
		h.ip4("rule add lookup 52 pref 150")
		h.seenAs(vpnHost)
		up = append(up, time.Since(began))
		h.ip4("address replace 203.0.113.1/24 dev out0 valid_lft 600 preferred_lft 300") // a lease is renewed,
		h.ip4(fmt.Sprintf("address add 198.51.100.%d/24 dev out1", 10+(i+1)%2))          // another one is not
		h.tryIP(fmt.Sprintf("address del 198.51.100.%d/24 dev out1", 10+i%2))
		if i%20 == 0 { // for longer than a route is remembered
			time.Sleep(1500 * time.Millisecond)
			watch[0].forbid.Store(true)
			h.seenAs(vpnHost)
			time.Sleep(300 * time.Millisecond)
			watch[0].forbid.Store(false)
		}
		began = time.Now()
		h.ip4("rule del lookup 52 pref 150")
		h.seenAs(lab.HostAddress)
		down = append(down, time.Since(began))
	}
	h.inTime("the VPN has come: new flows", up)
	h.inTime("the VPN has gone: new flows", down)
	for name, talk := range map[string]*talk{"the transfer": transfer, "the published port": published} {
		if n, err := talk.end(); err != nil || n == 0 {
			t.Errorf("%s ended after %d exchanges: %v", name, n, err)
		}
	}
	for _, w := range watch {
		w.end(t)
	}
}

// vpn gives the host a tunnel by which farAway is reached too, and a table for it.
func (h *host) vpn() {
	h.t.Helper()
	n, err := lab.NewNamespace("vpn")
	h.must(err)
	h.t.Cleanup(func() { n.Close() })
	h.must(lab.Veth(h.Host, "ts0", n, "eth0"), h.Host.AddAddress("ts0", vpnHost+"/24"), n.AddAddress("eth0", vpnRemote+"/24"), n.AddAddress("lo", farAway+"/32"))
	h.echo(n, "udp", farAway+":7")
	h.ip4("route add default via " + vpnRemote + " dev ts0 table 52")
	h.ip4("route add throw 203.0.113.0/24 table 52")
	h.ip4("route add throw 198.51.100.0/24 table 52")
}

// linkWatch looks at what leaves by a link of the host.
type linkWatch struct {
	tap    *lab.Tap
	forbid atomic.Bool // what is for farAway may not leave now
	done   sync.WaitGroup
	count  int
	wrong  []string
}

// watchLink wants sources that begin with own.
func (h *host) watchLink(link, own string) *linkWatch {
	h.t.Helper()
	tap, err := lab.Capture(h.Host, link)
	h.must(err)
	w := &linkWatch{tap: tap}
	w.done.Go(func() {
		for p := range tap.Packets() {
			const ethernet, ipv4 = 14, 0x0800
			if !p.Outgoing || len(p.Data) < ethernet+20 || int(p.Data[12])<<8|int(p.Data[13]) != ipv4 {
				continue
			}
			w.count++
			from, to := netip.AddrFrom4([4]byte(p.Data[ethernet+12:])), netip.AddrFrom4([4]byte(p.Data[ethernet+16:]))
			if !strings.HasPrefix(from.String(), own) || w.forbid.Load() && to.String() == farAway {
				w.wrong = append(w.wrong, fmt.Sprintf("%s: %s to %s", link, from, to))
			}
		}
	})
	return w
}

func (w *linkWatch) end(t *testing.T) {
	t.Helper()
	w.tap.Close()
	w.done.Wait()
	if len(w.wrong) > 0 {
		t.Errorf("%d of %d packets have left by a wrong way, first %q", len(w.wrong), w.count, w.wrong[0])
	}
}

// talk is a TCP connection in use.
type talk struct {
	conn  net.Conn
	stop  context.CancelFunc
	ended chan error
	count atomic.Int64
}

// keepTalking sends something to and fro on one connection until it is ended.
func (h *host) keepTalking(from, at *lab.Namespace, listen, to string) *talk {
	h.t.Helper()
	server, err := at.Listen("tcp", listen)
	h.must(err)
	h.t.Cleanup(func() { server.Close() })
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn) // ends with the connection
	}()
	k := &talk{ended: make(chan error, 1)}
	h.eventually("a connection to "+to, func(ctx context.Context) bool {
		k.conn, err = from.Dial(ctx, "tcp", to)
		return err == nil
	})
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	go func() { k.ended <- k.run(ctx) }()
	h.t.Cleanup(func() { stop(); k.conn.Close() })
	return k
}

func (k *talk) run(ctx context.Context) error {
	buffer := make([]byte, 1000)
	for ctx.Err() == nil {
		_ = k.conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := k.conn.Write(buffer); err != nil {
			return err
		}
		if _, err := io.ReadFull(k.conn, buffer); err != nil {
			return err
		}
		k.count.Add(1)
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// end returns how many exchanges there were.
func (k *talk) end() (int64, error) {
	k.stop()
	return k.count.Load(), <-k.ended
}
