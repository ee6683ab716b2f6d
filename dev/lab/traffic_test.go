package lab

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestEchoTellsPeer(t *testing.T) {
	t.Parallel()
	top := StartTopology(t, 0)
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			server, err := EchoServer(top.Remote, network, RemoteAddress+":7")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			conn, err := top.Host.DialFrom(t.Context(), network, HostAddress+":4000", server.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			seen, err := AskConn(t.Context(), conn)
			if want := netip.MustParseAddrPort(HostAddress + ":4000"); err != nil || seen != want {
				t.Errorf("seen as %v, %v; want %v", seen, err, want)
			}
			if seen, err := Ask(t.Context(), top.Host, network, server.Addr().String()); err != nil || seen.Addr().String() != HostAddress {
				t.Errorf("Ask: %v, %v", seen, err)
			}
		})
	}
}

func TestAskEndsWithContext(t *testing.T) {
	t.Parallel()
	top := StartTopology(t, 0)
	silent, err := top.Remote.ListenPacket("udp", RemoteAddress+":9")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, top.Host, "udp", RemoteAddress+":9"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestNamesAreRefused(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	if _, err := n.Dial(t.Context(), "tcp", "localhost:80"); err == nil {
		t.Error("a name was dialled")
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	top := StartTopology(t, 0)
	if _, err := Ping(t.Context(), top.Host, RemoteAddress); err != nil {
		t.Error(err)
	}
	if err := top.Remote.Sysctl("net/ipv4/ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	if err := top.Remote.AddRoute("198.51.100.0/24", HostAddress); err != nil {
		t.Fatal(err)
	}
	_, err := EchoRequest{To: netip.MustParseAddr("198.51.100.9"), TTL: 1}.Send(t.Context(), top.Host)
	var icmp *ICMPError
	if !errors.As(err, &icmp) || icmp.Type != icmpTimeExceeded || icmp.From.String() != RemoteAddress {
		t.Errorf("TTL 1: %v, want time exceeded from %s", err, RemoteAddress)
	}
}

func TestCaptureSeesBothDirections(t *testing.T) {
	t.Parallel()
	top := StartTopology(t, 0)
	for _, offload := range []bool{true, false} {
		if err := errors.Join(top.Host.SetOffloads(HostLink, offload), top.Remote.SetOffloads(RemoteLink, offload)); err != nil {
			t.Fatal(err)
		}
		tap, err := Capture(top.Host, HostLink)
		if err != nil {
			t.Fatal(err)
		}
		server, err := EchoServer(top.Remote, "tcp", ":7")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := Ask(t.Context(), top.Host, "tcp", RemoteAddress+":7"); err != nil {
			t.Error(err)
		}
		if _, err := Ask(t.Context(), top.Host, "udp", RemoteAddress+":7"); err == nil {
			t.Error("closed UDP port answered")
		}
		var out, in, pending int
		err = WaitFor(t.Context(), func() bool {
			for len(tap.Packets()) > 0 {
				p := <-tap.Packets()
				if err := tap.Verify(p); err != nil {
					t.Errorf("offload %v: %v in % x", offload, err, p.Data)
				}
				if p.Time.Before(start.Add(-time.Second)) || p.Time.After(time.Now()) {
					t.Errorf("packet time %v", p.Time)
				}
				if p.Pending {
					pending++
				}
				if p.Outgoing {
					out++
				} else {
					in++
				}
			}
			return out >= 3 && in >= 3
		})
		if err != nil {
			t.Fatal(err)
		}
		if !offload && pending > 0 {
			t.Errorf("%d packets without checksum though offloads are off", pending)
		}
		server.Close()
		if dropped, err := tap.Dropped(); err != nil || dropped > 0 {
			t.Errorf("dropped %d, %v", dropped, err)
		}
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSendFrames(t *testing.T) {
	t.Parallel()
	top := StartTopology(t, 0)
	tap, err := Capture(top.Remote, RemoteLink)
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	frame := make([]byte, 60)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x88, 0xb5})
	if err := SendFrames(top.Host, HostLink, frame); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case p := <-tap.Packets():
			if string(p.Data) == string(frame) {
				return
			}
		case <-time.After(5 * time.Second):
			t.Fatal("frame did not arrive")
		}
	}
}
