package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// memory keeps leases in memory, as a store that survives the server.
type memory struct {
	mu     sync.Mutex
	leases map[netip.Addr]model.Lease
	broken error
}

func (m *memory) Leases() (list []model.Lease, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leases {
		list = append(list, l)
	}
	return list, nil
}

func (m *memory) SaveLeases(save, drop []model.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range drop {
		delete(m.leases, l.Address)
	}
	for _, l := range save {
		m.leases[l.Address] = l
	}
	return m.broken
}

// rig is a host with the bridge hn-web (172.16.1.1/24), and a machine on it.
type rig struct {
	t             testing.TB
	host, machine *lab.Namespace
	store         Store
	leases        *Leases
	stop          func()
	holderOf      func(ctx context.Context, bridge int, a netip.Addr) (model.MAC, bool) // of Bridge
}

func newRig(t testing.TB, store Store) *rig {
	t.Helper()
	lab.RequireRoot(t)
	r := &rig{t: t, host: namespace(t, "dhcp-host"), machine: namespace(t, "dhcp-vm"), store: store}
	for _, err := range []error{
		lab.Veth(r.host, "p0", r.machine, "eth0"), r.host.AddBridge("hn-web", "p0"), r.host.AddAddress("hn-web", "172.16.1.1/24"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func namespace(t testing.TB, name string) *lab.Namespace {
	t.Helper()
	n, err := lab.NewNamespace(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// serve runs a server as the daemon does, until the test or kill ends it.
func (r *rig) serve(c config.Config) {
	r.t.Helper()
	var err error
	if r.leases, err = NewLeases(r.store); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var server *Server
	err = r.host.Do(func() error {
		i, err := net.InterfaceByName("hn-web")
		if err != nil {
			return err
		}
		server, err = Open(scopeOf(c, model.HostFacts{MTU: 1500}), i, r.leases, Bridge{PortOf: func(uint32, int, net.HardwareAddr) int { return 1 }, HolderOf: r.holderOf}, slog.New(slog.DiscardHandler))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.t.Errorf("the server ended: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
}

// client opens a client on the machine's link.
func (r *rig) client(options ...nclient4.ClientOpt) *nclient4.Client {
	r.t.Helper()
	var c *nclient4.Client
	err := r.machine.Do(func() (err error) {
		c, err = nclient4.New("eth0", append(options, nclient4.WithTimeout(time.Second), nclient4.WithRetry(5))...)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

func patience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A client without an address gets one, by a reply to its own MAC, and keeps it
// over renewal and a crash of the server; what it gave back goes to the next.
func TestServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, &memory{leases: map[netip.Addr]model.Lease{}})
	cfg := webConfig()
	r.serve(cfg)
	c := r.client()
	lease, err := c.Request(patience(t), dhcpv4.WithOption(dhcpv4.OptHostName("vm1")))
	if err != nil {
		t.Fatal(err)
	}
	got := address(lease.ACK.YourIPAddr)
	if s := scopeOf(cfg, model.HostFacts{MTU: 1500}); !s.forAnybody(got) {
		t.Errorf("the client got %s", got)
	}
	known := r.leases.Leases(time.Now())
	if len(known) != 1 || known[0].Hostname != "vm1" || known[0].State != model.LeaseBound || known[0].Address != got {
		t.Errorf("leases: %+v", known)
	}
	if err := r.machine.AddAddress("eth0", got.String()+"/24"); err != nil {
		t.Fatal(err)
	}
	r.stop() // what was not stored is lost
	r.serve(cfg)
	renewed, err := c.Renew(patience(t), lease)
	if err != nil || address(renewed.ACK.YourIPAddr) != got {
		t.Fatalf("renewed after a crash: %v, %v", renewed, err)
	}
	if !r.leases.Leases(time.Now())[0].Since.Equal(known[0].Since) {
		t.Error("a renewal makes it another lease")
	}
	if err := c.Release(renewed); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the release", func() bool { return r.leases.Leases(time.Now())[0].State == model.LeaseReleased })
}

// Nothing is promised that is not stored.
func TestServerThatCannotStore(t *testing.T) {
	t.Parallel()
	store := &memory{leases: map[netip.Addr]model.Lease{}, broken: errors.New("disk full")}
	r := newRig(t, store)
	r.serve(webConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	c := r.client()
	offer, err := c.DiscoverOffer(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	if lease, err := c.RequestFromOffer(ctx, offer); err == nil {
		t.Errorf("an ACK that is not stored: %v", lease.ACK)
	}
}

// The host does not answer a renewal with 'port unreachable'.
func TestHostKeepsQuietAboutThePort(t *testing.T) {
	t.Parallel()
	r := newRig(t, &memory{leases: map[netip.Addr]model.Lease{}})
	r.serve(webConfig())
	if err := r.machine.AddAddress("eth0", "172.16.1.15/24"); err != nil {
		t.Fatal(err)
	}
	conn, err := r.machine.Dial(t.Context(), "udp", "172.16.1.1:67")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := lab.Ping(patience(t), r.machine, "172.16.1.1"); err != nil { // ARP is settled
		t.Fatal(err)
	}
	for range 3 {
		if _, err := conn.Write([]byte("anything")); err != nil {
			t.Fatalf("the host refuses port 67: %v", err)
		}
		if _, err := lab.Ping(patience(t), r.machine, "172.16.1.1"); err != nil {
			t.Fatal(err)
		}
	}
}

func waitUntil(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if err := lab.WaitFor(patience(t), cond); err != nil {
		t.Fatalf("waited in vain for %s", what)
	}
}

// flood is many clients behind one link.
type flood struct {
	conn  *packet.Conn
	reply []byte
}

func (r *rig) flood() *flood {
	var f flood
	err := r.machine.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		f.conn, err = packet.Listen(i, packet.Raw, unix.ETH_P_IP, nil)
		if err != nil {
			return err
		}
		return f.conn.SetPromiscuous(true)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { f.conn.Close() })
	f.reply = make([]byte, maxFrame)
	return &f
}

// send sends a client's message to everybody.
func (f *flood) send(mac net.HardwareAddr, payload []byte) error {
	b := buildFrame(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, broadcast, netip.IPv4Unspecified(), payload)
	udp := b[ethernetLength+ipLength:]
	binary.BigEndian.PutUint16(udp, clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	_, err := f.conn.WriteTo(b, &packet.Addr{HardwareAddr: b[:6]})
	return err
}

// receive waits for the server's next message.
func (f *flood) receive() (*dhcpv4.DHCPv4, error) {
	for {
		if err := f.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return nil, err
		}
		n, _, err := f.conn.ReadFrom(f.reply)
		if err != nil {
			return nil, err
		}
		payload := f.reply[:n]
		if n > ethernetLength+ipLength+udpLength && payload[ethernetLength+9] == unix.IPPROTO_UDP {
			if m, err := dhcpv4.FromBytes(payload[ethernetLength+ipLength+udpLength:]); err == nil && m.OpCode == dhcpv4.OpcodeBootReply {
				return m, nil
			}
		}
	}
}

// exchanges makes clients first to first+count take addresses, so many of them
// at a time, and returns what they got.
func (f *flood) exchanges(first, count, window int) (map[string]string, error) {
	made := func(i int) client {
		return client{mac: net.HardwareAddr{2, 7, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}}
	}
	next := 0
	begin := func() error {
		if next == count {
			return nil
		}
		c := made(first + next)
		next++
		return f.send(c.mac, c.message(dhcpv4.MessageTypeDiscover))
	}
	for range window {
		if err := begin(); err != nil {
			return nil, err
		}
	}
	got := make(map[string]string)
	for len(got) < count {
		m, err := f.receive()
		if err != nil {
			return got, fmt.Errorf("after %d of %d exchanges: %w", len(got), count, err)
		}
		switch m.MessageType() {
		case dhcpv4.MessageTypeOffer:
			c := client{mac: slices.Clone(m.ClientHWAddr)}
			err = f.send(c.mac, c.message(dhcpv4.MessageTypeRequest, wants(m.YourIPAddr.String()), server("172.16.1.1")))
		case dhcpv4.MessageTypeAck:
			got[m.ClientHWAddr.String()] = m.YourIPAddr.String()
			err = begin()
		default:
			err = fmt.Errorf("%s", m.Summary())
		}
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

func bigConfig() config.Config {
	c := webConfig()
	c.Networks[0].Subnets, c.Networks[0].Ranges = []netip.Prefix{netip.MustParsePrefix("172.16.0.0/15")}, nil
	return c
}

// Several hundred clients at once, then a crash, then as many again: each has
// an address of its own, and those that were there keep theirs.
func TestManyClientsAndACrash(t *testing.T) {
	t.Parallel()
	r := newRig(t, &memory{leases: map[netip.Addr]model.Lease{}})
	r.serve(bigConfig())
	f := r.flood()
	before, err := f.exchanges(0, 300, 16)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.serve(bigConfig())
	after, err := f.exchanges(150, 300, 16)
	if err != nil {
		t.Fatal(err)
	}
	owner := make(map[string]string)
	for _, got := range []map[string]string{before, after} {
		for mac, a := range got {
			if has := owner[a]; has != "" && has != mac {
				t.Errorf("%s is given to %s and %s", a, has, mac)
			}
			owner[a] = mac
		}
	}
	for mac, a := range before {
		if again, asked := after[mac]; asked && again != a {
			t.Errorf("%s had %s and gets %s", mac, a, again)
		}
	}
}

// What is ignored or refused is told in status, for a while.
func TestIgnoredMessagesAreTold(t *testing.T) {
	t.Parallel()
	v := &Server{}
	v.scope.Store(webScope())
	if p := v.problem(); p != "" {
		t.Errorf("before anything: %s", p)
	}
	v.note(Outcome{Why: "a release"})
	if p := v.problem(); p != "" {
		t.Errorf("of what is in order: %s", p)
	}
	v.note(Outcome{Forged: true})
	v.note(Outcome{Refused: true})
	if p := v.problem(); !strings.Contains(p, "network web has ignored 1 messages") || !strings.Contains(p, "for 1 requests") {
		t.Errorf("got %q", p)
	}
	v.strangeAt.Store(time.Now().Add(-2 * time.Minute).Unix())
	if p := v.problem(); p != "" {
		t.Errorf("after two minutes: %s", p)
	}
}
