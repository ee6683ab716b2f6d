package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func newTestServer(f Files) *Server {
	return New(Options{Files: f, Log: slog.New(slog.DiscardHandler)})
}

// rig is a host with two bridges that have the same addresses, an endpoint on
// each, and a remote with the host's resolver.
type rig struct {
	*lab.Topology
	t      testing.TB
	server *Server
	config config.Config
	files  Files
}

func startRig(t testing.TB) *rig {
	t.Helper()
	top := lab.StartTopology(t, 3)
	r := &rig{Topology: top, t: t, files: filesIn(t.TempDir()), config: config.Config{
		Networks: []model.Network{
			{Name: "web", Subnets: []netip.Prefix{prefix("172.16.1.0/24")}, Gateways: []netip.Addr{address("172.16.1.1")}, Bridge: "hn-web"},
			{Name: "twin", Subnets: []netip.Prefix{prefix("172.16.1.0/24")}, Gateways: []netip.Addr{address("172.16.1.1")}, Bridge: "hn-twin"},
		},
		Endpoints: []model.Endpoint{
			{Name: "c1", Network: "web", Addresses: []netip.Addr{address("172.16.1.2")}},
			{Name: "c2", Network: "twin", Addresses: []netip.Addr{address("172.16.1.2")}},
			{Name: "c3", Network: "web", Addresses: []netip.Addr{address("172.16.1.3")}},
		},
	}}
	r.bridge("hn-web", map[string]*lab.Namespace{"172.16.1.2/24": top.Endpoints[0], "172.16.1.3/24": top.Endpoints[2]})
	r.bridge("hn-twin", map[string]*lab.Namespace{"172.16.1.2/24": top.Endpoints[1]})
	write(t, r.files.ResolvConf, "nameserver "+lab.RemoteAddress+"\n")
	r.server = newTestServer(r.files)
	r.server.forward.dial = top.Host.Dial
	r.configure()
	t.Cleanup(func() { r.server.Configure(context.Background(), config.Config{}) })
	return r
}

func (r *rig) bridge(name string, endpoints map[string]*lab.Namespace) {
	r.t.Helper()
	must(r.t, r.Host.AddBridge(name))
	must(r.t, r.Host.AddAddress(name, "172.16.1.1/24"))
	for a, n := range endpoints {
		port := name[3:] + prefix(a).Addr().String()[len("172.16.1."):] // "web2"
		must(r.t, lab.Veth(r.Host, port, n, "eth0"))
		must(r.t, r.Host.Enslave(port, name))
		must(r.t, n.AddAddress("eth0", a))
		must(r.t, n.AddRoute("0.0.0.0/0", "172.16.1.1"))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// configure has the server open its sockets inside the host's namespace.
func (r *rig) configure() {
	r.t.Helper()
	must(r.t, r.Host.Do(func() error {
		r.server.Configure(context.Background(), r.config)
		return nil
	}))
}

// stub starts a resolver on the remote.
func (r *rig) stub(handle func(*dns.Msg, bool) *dns.Msg) *stub {
	r.t.Helper()
	return startStub(r.t, listenFunc{r.Remote.ListenPacket, r.Remote.Listen}, lab.RemoteAddress+":53", handle)
}

// ask asks a server from a namespace and returns the answer in words.
func (r *rig) ask(from *lab.Namespace, network, server, name string, qtype uint16) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 6*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, network, server+":53")
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	m, err := exchange(conn, new(dns.Msg).SetQuestion(name, qtype), 6*time.Second)
	if err != nil {
		return err.Error()
	}
	return text(m)
}

func exchange(conn net.Conn, q *dns.Msg, limit time.Duration) (*dns.Msg, error) {
	c := &dns.Conn{Conn: conn}
	_ = c.SetDeadline(time.Now().Add(limit))
	if err := c.WriteMsg(q); err != nil {
		return nil, err
	}
	return c.ReadMsg()
}

const gateway = "172.16.1.1"

func (r *rig) want(want, got string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("got %q, want %q", got, want)
	}
}

// Each network is answered from its own names, though the addresses are the
// same; the host itself gets those of the first.
func TestServer(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	r.stub(says("192.0.2.1", 1))
	c1, c2 := r.Endpoints[0], r.Endpoints[1]
	for _, network := range []string{"udp", "tcp"} {
		r.want("NOERROR A 172.16.1.2", r.ask(c1, network, gateway, "c1.", dns.TypeA))
		r.want("NXDOMAIN SOA internal.", r.ask(c1, network, gateway, "c2.twin.internal.", dns.TypeA))
		r.want("NOERROR A 172.16.1.2", r.ask(c2, network, gateway, "c2.twin.internal.", dns.TypeA))
		r.want("NXDOMAIN SOA internal.", r.ask(c2, network, gateway, "c1.web.internal.", dns.TypeA))
		r.want("NOERROR PTR c2.twin.internal.", r.ask(c2, network, gateway, "2.1.16.172.in-addr.arpa.", dns.TypePTR))
		r.want("NOERROR A 192.0.2.1", r.ask(c1, network, gateway, "example.com.", dns.TypeA))
		r.want("NOERROR A 192.0.2.1", r.ask(c2, network, gateway, "example.com.", dns.TypeA))
		r.want("NOERROR A 172.16.1.2", r.ask(r.Host, network, gateway, "c1.web.internal.", dns.TypeA))
	}
	if p := r.server.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
}

// The host's own queries arrive at one of the networks that have the gateway's
// address; whichever it is, it answers for all.
func TestServerForTheHost(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	for _, network := range []string{"udp", "tcp"} {
		r.want("NOERROR A 172.16.1.2", r.ask(r.Host, network, gateway, "c1.web.internal.", dns.TypeA))
		r.want("NOERROR A 172.16.1.2", r.ask(r.Host, network, gateway, "c2.twin.internal.", dns.TypeA))
		r.want("NXDOMAIN SOA twin.internal.", r.ask(r.Host, network, gateway, "c9.twin.internal.", dns.TypeA))
		r.want("NOERROR A 172.16.1.1", r.ask(r.Host, network, gateway, "host.internal.", dns.TypeA))
		r.want("NXDOMAIN SOA internal.", r.ask(r.Endpoints[0], network, gateway, "c2.twin.internal.", dns.TypeA))
	}
}

// Networks come, go and change while it runs.
func TestServerFollowsConfiguration(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	c1 := r.Endpoints[0]
	r.config.Endpoints = append(r.config.Endpoints, model.Endpoint{Name: "new", Network: "web", Addresses: []netip.Addr{address("172.16.1.9")}})
	r.configure()
	r.want("NOERROR A 172.16.1.9", r.ask(c1, "udp", gateway, "new.web.internal.", dns.TypeA))

	r.config.Networks[0].DNS = model.Off
	r.configure()
	for _, network := range []string{"udp", "tcp"} {
		if got := r.ask(c1, network, gateway, "c1.web.internal.", dns.TypeA); !strings.Contains(got, "refused") {
			t.Errorf("turned off, %s: %s", network, got)
		}
	}
	r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[1], "udp", gateway, "c2.", dns.TypeA))

	r.config.Networks[0].DNS = model.On
	r.configure()
	r.want("NOERROR A 172.16.1.2", r.ask(c1, "udp", gateway, "c1.", dns.TypeA))
}

// A bridge that was deleted and made again is listened on again.
func TestServerOnNewBridge(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	must(t, r.Host.DeleteLink("hn-twin"))
	must(t, r.Host.DeleteLink("twin2")) // its peer is in the endpoint
	r.configure()
	if p := r.server.Problems(); len(p) != 1 || !strings.Contains(p[0], "network twin has no DNS") {
		t.Errorf("problems %q", p)
	}
	r.bridge("hn-twin", map[string]*lab.Namespace{"172.16.1.2/24": r.Endpoints[1]})
	waitFor(t, "the bridge to be served", func() bool {
		r.configure()
		return len(r.server.Problems()) == 0
	})
	r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[1], "udp", gateway, "c2.", dns.TypeA))
}

// A port that is taken is reported with who has it, and taken when it is free.
func TestServerPortTaken(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			r := startRig(t)
			r.server.Configure(t.Context(), config.Config{})
			var other io.Closer
			var err error
			if network == "udp" {
				other, err = r.Host.ListenPacket("udp4", "0.0.0.0:53")
			} else {
				other, err = r.Host.Listen("tcp4", "0.0.0.0:53")
			}
			must(t, err)
			r.server.holder = func(_ context.Context, at netip.AddrPort) string { return "dnsmasq (pid 7) for " + at.String() }
			r.configure()
			p := r.server.Problems()
			if len(p) != 2 || !strings.Contains(p[1], "network web has no DNS: dnsmasq (pid 7) for 172.16.1.1:53 holds port 53") {
				t.Errorf("problems %q", p)
			}
			must(t, other.Close())
			waitFor(t, "the port to be taken", func() bool {
				r.configure()
				return len(r.server.Problems()) == 0
			})
			r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[0], network, gateway, "c1.", dns.TypeA))
		})
	}
}

// Nobody outside is answered, by address of the gateway or of the host, and a
// sender that is not of the network gets nothing: nothing leaves to be seen.
func TestServerClosedToOutside(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	must(t, r.Remote.AddRoute("172.16.1.0/24", lab.HostAddress))
	must(t, r.Endpoints[0].AddAddress("eth0", "198.51.100.9/32"))
	must(t, r.Host.AddRoute("198.51.100.9/32", "172.16.1.2"))
	tap, err := lab.Capture(r.Remote, lab.RemoteLink)
	must(t, err)
	question := new(dns.Msg).SetQuestion("c1.web.internal.", dns.TypeA)
	try := func(from *lab.Namespace, local, to string) {
		t.Helper()
		conn, err := from.DialFrom(t.Context(), "udp", local, to)
		must(t, err)
		defer conn.Close()
		if m, err := exchange(conn, question, 300*time.Millisecond); err == nil {
			t.Errorf("%s from %s got %v", to, local, m)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		stream, err := from.DialFrom(ctx, "tcp", local, to)
		if err != nil {
			return
		}
		defer stream.Close()
		if m, err := exchange(stream, question, 300*time.Millisecond); err == nil {
			t.Errorf("tcp %s from %s got %v", to, local, m)
		}
	}
	try(r.Remote, "", gateway+":53")
	try(r.Remote, "", lab.HostAddress+":53")
	try(r.Endpoints[0], "198.51.100.9:0", gateway+":53")
	r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[0], "udp", gateway, "c1.", dns.TypeA))
	must(t, tap.Close())
	for p := range tap.Packets() {
		if p.Outgoing || len(p.Data) < 34 || p.Data[12] != 8 || p.Data[13] != 0 {
			continue
		}
		ip := p.Data[14:]
		l4 := ip[int(ip[0]&0xf)*4:]
		tcpData := ip[9] == 6 && l4[13]&0x14 == 0 // neither reset nor a bare acknowledgement
		if binary.BigEndian.Uint16(l4) == port && (ip[9] == 17 || tcpData) {
			t.Errorf("the host sent %x", ip)
		}
	}
}

// resolv.conf changes, and the next query goes elsewhere.
func TestServerFollowsResolvConf(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	must(t, r.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"))
	r.stub(says("192.0.2.1", 1))
	startStub(t, listenFunc{r.Remote.ListenPacket, r.Remote.Listen}, "203.0.113.3:53", says("192.0.2.2", 1))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.server.files.follow(ctx, r.server.readResolvers) }()
	defer func() { cancel(); <-done }()
	r.want("NOERROR A 192.0.2.1", r.ask(r.Endpoints[0], "udp", gateway, "example.com.", dns.TypeA))
	waitFor(t, "the other resolver to be asked", func() bool {
		write(t, r.files.ResolvConf, "nameserver 203.0.113.3\n")
		return r.ask(r.Endpoints[0], "udp", gateway, "example.com.", dns.TypeA) == "NOERROR A 192.0.2.2"
	})
	// Itself alone is nobody to ask, and no loop.
	waitFor(t, "nobody to be asked", func() bool {
		write(t, r.files.ResolvConf, "nameserver "+gateway+"\n")
		return r.ask(r.Endpoints[0], "udp", gateway, "example.com.", dns.TypeA) == "SERVFAIL"
	})
	if p := r.server.Problems(); len(p) != 1 || !strings.Contains(p[0], filepath.Base(r.files.ResolvConf)) {
		t.Errorf("problems %q", p)
	}
}

// A resolver that is silent does not stop names of the network, and one endpoint
// with all queries that it may have does not stop another's.
func TestServerOneClientTooMany(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	r.stub(func(q *dns.Msg, tcp bool) *dns.Msg {
		if strings.HasPrefix(q.Question[0].Name, "slow") {
			return nil
		}
		return says("192.0.2.1", 1)(q, tcp)
	})
	greedy, err := r.Endpoints[0].Dial(t.Context(), "udp", gateway+":53")
	must(t, err)
	defer greedy.Close()
	c := &dns.Conn{Conn: greedy}
	for range clientQueries + 50 {
		must(t, c.WriteMsg(new(dns.Msg).SetQuestion("slow.example.", dns.TypeA)))
	}
	refused := 0
	_ = greedy.SetReadDeadline(time.Now().Add(time.Second))
	for refused < 50 {
		m, err := c.ReadMsg()
		if err != nil || m.Rcode != dns.RcodeServerFailure {
			t.Fatalf("%d refused, then %v, %v", refused, m, err)
		}
		refused++
	}
	start := time.Now()
	r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[0], "udp", gateway, "c1.", dns.TypeA))
	r.want("NOERROR A 192.0.2.1", r.ask(r.Endpoints[2], "udp", gateway, "example.com.", dns.TypeA))
	r.want("NOERROR A 192.0.2.1", r.ask(r.Endpoints[2], "tcp", gateway, "example.com.", dns.TypeA))
	if took := time.Since(start); took > patience/2 {
		t.Errorf("others waited %v", took)
	}
}

// A client that opens connections and says nothing, half a message, or nonsense
// keeps nobody else from being answered, and is cut off (CVE-2024-8418,
// CVE-2026-35406 of aardvark-dns).
func TestServerConnectionsThatHang(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	var conns []net.Conn
	for range 3 * clientConnections {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		conn, err := r.Endpoints[0].Dial(ctx, "tcp", gateway+":53")
		cancel()
		must(t, err)
		defer conn.Close()
		_, _ = conn.Write([]byte{0xff, 0xff, 0x12}) // 65535 bytes are to come
		conns = append(conns, conn)
	}
	r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[2], "tcp", gateway, "c1.web.internal.", dns.TypeA))
	closed := 0
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			closed++
		}
	}
	if closed != 2*clientConnections {
		t.Errorf("%d of %d connections were closed, want %d", closed, len(conns), 2*clientConnections)
	}
	for _, conn := range conns {
		conn.Close()
	}
	waitFor(t, "a place for the client", func() bool {
		return r.ask(r.Endpoints[0], "tcp", gateway, "c1.", dns.TypeA) == "NOERROR A 172.16.1.2"
	})
	for name, sent := range map[string]string{
		"nothing": "\x00\x00", "a byte": "\x00\x01x", "an answer": "\x00\x0c\x00\x01\x81\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		conn, err := r.Endpoints[0].Dial(t.Context(), "tcp", gateway+":53")
		must(t, err)
		_, _ = conn.Write([]byte(sent))
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("%s: the connection goes on: %v", name, err)
		}
		conn.Close()
	}
}

// Several queries on one connection are answered as they are ready, also when
// the client has closed its side.
func TestServerPipelining(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	release := make(chan struct{})
	r.stub(func(q *dns.Msg, tcp bool) *dns.Msg {
		<-release
		return says("192.0.2.1", 1)(q, tcp)
	})
	conn, err := r.Endpoints[0].Dial(t.Context(), "tcp", gateway+":53")
	must(t, err)
	defer conn.Close()
	c := &dns.Conn{Conn: conn}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	must(t, c.WriteMsg(new(dns.Msg).SetQuestion("example.com.", dns.TypeA)))
	must(t, c.WriteMsg(new(dns.Msg).SetQuestion("c1.", dns.TypeA)))
	must(t, conn.(*net.TCPConn).CloseWrite())
	first, err := c.ReadMsg()
	must(t, err)
	r.want("NOERROR A 172.16.1.2", text(first))
	close(release)
	second, err := c.ReadMsg()
	must(t, err)
	r.want("NOERROR A 192.0.2.1", text(second))
	if _, err := c.ReadMsg(); err == nil {
		t.Error("the connection goes on")
	}
}

// A resolver of the host that asks through a network's bridge, as
// systemd-resolved does for a link's domains (IP_UNICAST_IF), gets that network's
// names, though another has the same addresses.
func TestServerForHostByLink(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	for link, want := range map[string]string{"hn-web": "c1.web.internal.", "hn-twin": "c2.twin.internal."} {
		var conn net.Conn
		must(t, r.Host.Do(func() error {
			index, err := net.InterfaceByName(link)
			if err != nil {
				return err
			}
			d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { return throughLink(c, index.Index) }}
			conn, err = d.Dial("udp4", gateway+":53")
			return err
		}))
		defer conn.Close()
		m, err := exchange(conn, new(dns.Msg).SetQuestion("2.1.16.172.in-addr.arpa.", dns.TypePTR), 2*time.Second)
		if err != nil || text(m) != "NOERROR PTR "+want {
			t.Errorf("through %s: %v, %v", link, m, err)
		}
	}
}

func throughLink(c syscall.RawConn, index int) (err error) {
	var network [4]byte
	binary.BigEndian.PutUint32(network[:], uint32(index)) // the option is in network order
	ctl := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_UNICAST_IF, int(binary.NativeEndian.Uint32(network[:])))
	})
	return errors.Join(ctl, err)
}
