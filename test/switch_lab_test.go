package test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/attack"
	"github.com/hostnat/hostnat/internal/model"
)

// plugged is a machine whose port another tool put on a network's bridge.
type plugged struct {
	*lab.Namespace
	port    string // on the host
	mac     net.HardwareAddr
	address netip.Addr
	leased  bool
}

func (p *plugged) station() attack.Station {
	return attack.Station{MAC: model.MAC(p.mac.String()), Address: p.address}
}

// switchLab is a host with the network web, the attached endpoint c1 and machines on its switch.
type switchLab struct {
	*machine
	t        testing.TB
	endpoint *lab.Namespace
	attached attack.Station
	gateway  attack.Station
}

func newSwitchLab(t testing.TB) *switchLab {
	t.Helper()
	lab.RequireRoot(t)
	m, err := newMachine(build(t.(*testing.T)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	l := &switchLab{machine: m, t: t}
	l.check(m.startDaemon())
	l.run("network", "create", "web", "--subnet", "172.16.1.0/24", "--range", "172.16.1.100-172.16.1.150")
	l.endpoint, err = lab.NewNamespace("switch-c1")
	l.check(err)
	m.namespaces["c1"] = l.endpoint
	l.run("endpoint", "attach", "web", "c1", "--netns", l.endpoint.Name)
	e, err := m.client().Endpoint(t.Context(), "c1")
	l.check(err)
	l.attached = attack.Station{MAC: model.MAC(e.MAC), Address: e.Addresses[0]}
	bridge, err := m.Host.Link("hn-web")
	l.check(err)
	l.gateway = attack.Station{MAC: model.MAC(bridge.HardwareAddr.String()), Address: e.Gateways[0]}
	return l
}

func (l *switchLab) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *switchLab) run(args ...string) {
	l.t.Helper()
	if code, _, stderr := l.hostnat(context.Background(), args...); code != 0 {
		l.t.Fatalf("hostnat %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
}

// plug makes a machine's namespace and puts its port on the bridge. It has no address yet.
func (l *switchLab) plug(port string, mac net.HardwareAddr) *plugged {
	l.t.Helper()
	n, err := lab.NewNamespace("switch-" + port)
	l.check(err)
	l.namespaces[port] = n
	l.check(lab.Veth(l.Host, port, n, "eth0"))
	l.check(n.SetMAC("eth0", mac))
	l.check(l.Host.Enslave(port, "hn-web"))
	return &plugged{Namespace: n, port: port, mac: mac}
}

// settle gives a machine its address, by hand or by DHCP, and waits until it is
// on the network.
func (l *switchLab) settle(p *plugged, address netip.Addr) {
	l.t.Helper()
	if address.IsValid() {
		p.address = address
	} else {
		lease, err := l.lease(p.Namespace, "eth0")
		l.check(err)
		p.address, _ = netip.AddrFromSlice(lease.ACK.YourIPAddr.To4())
		p.leased = true
	}
	l.check(p.AddAddress("eth0", p.address.String()+"/24"))
	l.check(p.AddRoute("0.0.0.0/0", l.gateway.Address.String()))
	l.await(p.port+" on the network", func() bool {
		_, err := lab.Ping(l.moment(), p.Namespace, l.gateway.Address.String())
		return err == nil
	})
}

// moment is a context for one try.
func (l *switchLab) moment() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	l.t.Cleanup(cancel)
	return ctx
}

func (l *switchLab) await(what string, cond func() bool) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := lab.WaitFor(ctx, cond); err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
}

func hardware(kind, i byte) net.HardwareAddr { return net.HardwareAddr{2, 0x5a, 0, 0, kind, i} }

// datagrams sends datagrams from one machine to an echo server and counts the answers.
type datagrams struct {
	what           string
	conn           net.Conn
	sent, answered atomic.Int64
}

func (f *datagrams) send(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := f.conn.Write([]byte("x")); err == nil {
				f.sent.Add(1)
			}
		}
	}
}

func (f *datagrams) receive() {
	b := make([]byte, 64)
	for {
		if _, err := f.conn.Read(b); err != nil {
			return
		}
		f.answered.Add(1)
	}
}

// lost is the part of the datagrams that was not answered.
func (f *datagrams) lost() int64 { return f.sent.Load() - f.answered.Load() }

// ethernet is a frame.
func ethernet(from, to net.HardwareAddr, protocol uint16, payload []byte) []byte {
	return slices.Concat(to, from, []byte{byte(protocol >> 8), byte(protocol)}, payload)
}
