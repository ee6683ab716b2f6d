package nattest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// refused sends datagrams until an ICMP error comes back as ECONNREFUSED.
func refused(ctx context.Context, conn net.Conn) error {
	return lab.WaitFor(ctx, func() bool {
		if _, err := conn.Write([]byte("anybody there?")); errors.Is(err, syscall.ECONNREFUSED) {
			return true
		}
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := conn.Read(make([]byte, 64))
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// RFC 5508 REQ-4: an error from outside reaches the endpoint whose packet it quotes.
func TestICMPErrorFromOutsideReachesSender(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	withoutOffloads(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	inside, err := lab.Capture(r.Endpoints[0], "eth0")
	wire.Must(t, err)
	defer inside.Close()
	conn, err := r.Endpoints[0].Dial(ctx, "udp", lab.RemoteAddress+":9")
	wire.Must(t, err)
	defer conn.Close()
	if err := refused(ctx, conn); err != nil {
		t.Fatalf("no port unreachable came back: %v; drops %v", err, r.Drops(t))
	}
	verifyErrorIn(ctx, t, inside, netip.MustParseAddr(lab.RemoteAddress), wire.EndpointAddress(0))
}

// RFC 5508 REQ-5: an endpoint's error reaches the remote under the NAT's address.
func TestICMPErrorFromEndpointReachesRemote(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	withoutOffloads(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	outside, err := lab.Capture(r.Remote, lab.RemoteLink)
	wire.Must(t, err)
	defer outside.Close()
	conn, err := r.Remote.Dial(ctx, "udp", lab.HostAddress+":8080")
	wire.Must(t, err)
	defer conn.Close()
	if err := refused(ctx, conn); err != nil {
		t.Fatalf("no port unreachable came back: %v; drops %v", err, r.Drops(t))
	}
	verifyErrorIn(ctx, t, outside, netip.MustParseAddr(lab.HostAddress), netip.MustParseAddr(lab.RemoteAddress))
}

// withoutOffloads has the senders fill in their checksums, as on a wire: an
// error quotes a packet as it was, and one whose checksum is left to a device
// that never sees it has none.
func withoutOffloads(t *testing.T, r *dptest.Rig) {
	t.Helper()
	wire.Must(t, r.Endpoints[0].SetOffloads("eth0", false))
	wire.Must(t, r.Remote.SetOffloads(lab.RemoteLink, false))
}

// verifyErrorIn finds a port unreachable in the capture and checks its
// addresses and all its checksums, the quote's too.
func verifyErrorIn(ctx context.Context, t *testing.T, tap *lab.Tap, from, to netip.Addr) {
	t.Helper()
	for {
		select {
		case p := <-tap.Packets():
			b := p.Data
			if len(b) < 14+20+8+28 || p.Outgoing || b[12] != 8 || b[13] != 0 || b[14+9] != 1 || b[34] != 3 {
				continue
			}
			source, _ := netip.AddrFromSlice(b[26:30])
			destination, _ := netip.AddrFromSlice(b[30:34])
			quoted, _ := netip.AddrFromSlice(b[54:58])
			if source != from || destination != to || quoted != to {
				t.Errorf("error from %v to %v quotes a packet of %v; want %v, %v, %v", source, destination, quoted, from, to, to)
			}
			if err := tap.Verify(p); err != nil {
				t.Errorf("checksums: %v", err)
			}
			return
		case <-ctx.Done():
			t.Fatal("no port unreachable in the capture")
		}
	}
}

// answered sends an echo request and returns the ICMP error that comes back.
func answered(ctx context.Context, t *testing.T, r *dptest.Rig, request lab.EchoRequest) *lab.ICMPError {
	t.Helper()
	var answer *lab.ICMPError
	_, err := request.Send(ctx, r.Endpoints[0])
	if !errors.As(err, &answer) {
		t.Fatalf("no ICMP error came back but %v; drops %v", err, r.Drops(t))
	}
	return answer
}

// RFC 1812 section 5.3.1: the gateway answers in its own name, before anything is translated.
func TestHopLimitIsAnsweredByGateway(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	got := answered(ctx, t, r, lab.EchoRequest{To: netip.MustParseAddr(lab.RemoteAddress), ID: 7, Seq: 1, TTL: 1})
	if want := (lab.ICMPError{From: netip.MustParseAddr("172.16.1.1"), Type: 11}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if n := r.Drops(t)["hop-limit"]; n != 1 {
		t.Errorf("hop-limit counted %d times, want 1", n)
	}
}

// RFC 4787 REQ-13: what is too big for the way out is answered with its MTU.
func TestTooBigIsAnsweredWithMTU(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	wire.Must(t, r.Host.SetMTU(lab.HostLink, 1300))
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	got := answered(ctx, t, r, lab.EchoRequest{
		To: netip.MustParseAddr(lab.RemoteAddress), ID: 7, Seq: 1, TTL: 64, Size: 1400, DontFragment: true,
	})
	if want := (lab.ICMPError{From: netip.MustParseAddr("172.16.1.1"), Type: 3, Code: 4, MTU: 1300}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

// Path MTU discovery through the NAT, with segmentation offload: a transfer
// over a narrower link goes through, although the endpoint does not know it.
func TestTCPFindsNarrowerWayOut(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	wire.Must(t, r.Host.SetMTU(lab.HostLink, 1300))
	wire.Must(t, r.Remote.SetMTU(lab.RemoteLink, 1300))
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	server, err := lab.EchoServer(r.Remote, "tcp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer server.Close()
	conn, err := r.Endpoints[0].Dial(ctx, "tcp", lab.RemoteAddress+":7000")
	wire.Must(t, err)
	defer conn.Close()
	_, err = lab.AskConn(ctx, conn)
	wire.Must(t, err)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	go conn.Write(sent)
	conn.SetReadDeadline(time.Now().Add(wire.Patience))
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("transfer of %d bytes: %v; drops %v", len(sent), err, r.Drops(t))
	}
}

// RFC 5508 REQ-8, decision D3: a flow that no port is left for is told so, and the old one lives.
func TestOutOfPortsIsAnswered(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Pools[0].Addresses[0].Ports = []model.PortRange{{Low: 5000, High: 5000}}
	r.Apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	to := netip.MustParseAddr(lab.RemoteAddress)
	if _, err := (lab.EchoRequest{To: to, ID: 1, Seq: 1}).Send(ctx, r.Endpoints[0]); err != nil {
		t.Fatal(err)
	}
	got := answered(ctx, t, r, lab.EchoRequest{To: to, ID: 2, Seq: 1})
	if want := (lab.ICMPError{From: netip.MustParseAddr("172.16.1.1"), Type: 3, Code: 13}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if _, err := (lab.EchoRequest{To: to, ID: 1, Seq: 2}).Send(ctx, r.Endpoints[0]); err != nil {
		t.Errorf("the flow that has the port: %v", err)
	}
}
