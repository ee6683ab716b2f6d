package sockets

import (
	"net"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host/hosttest"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

func TestListener(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddAddress("lo", "192.0.2.1/32"), n.AddAddress("lo", "192.0.2.2/32"))
	for _, s := range []struct{ network, addr string }{
		{"tcp4", "192.0.2.1:80"}, {"tcp4", "0.0.0.0:81"}, {"tcp", "[::]:82"}, {"tcp6", "[::]:83"}, {"tcp6", "[::1]:84"},
		{"udp4", "192.0.2.1:80"}, {"udp", "[::]:82"},
	} {
		hosttest.Must(t, open(t, n, s.network, s.addr))
	}
	client, err := n.DialFrom(t.Context(), "udp", "192.0.2.1:90", "192.0.2.1:80")
	hosttest.Must(t, err)
	defer client.Close()
	tests := []struct {
		name     string
		protocol model.Protocol
		external string
		want     string // where it listens; empty: nobody
	}{
		{"same address", model.TCP, "192.0.2.1:80", "192.0.2.1:80"},
		{"other address", model.TCP, "192.0.2.2:80", ""},
		{"any address", model.TCP, "0.0.0.0:80", "192.0.2.1:80"},
		{"wildcard", model.TCP, "192.0.2.2:81", "0.0.0.0:81"},
		{"wildcard both", model.TCP, "0.0.0.0:81", "0.0.0.0:81"},
		{"dual stack", model.TCP, "192.0.2.1:82", "[::]:82"},
		{"IPv6 only", model.TCP, "192.0.2.1:83", ""},
		{"IPv6 address", model.TCP, "0.0.0.0:84", ""},
		{"nobody", model.TCP, "0.0.0.0:85", ""},
		{"UDP", model.UDP, "192.0.2.1:80", "192.0.2.1:80"},
		{"UDP dual stack", model.UDP, "0.0.0.0:82", "[::]:82"},
		{"UDP other", model.UDP, "0.0.0.0:81", ""},
		{"UDP client", model.UDP, "0.0.0.0:90", ""},
		{"range", model.TCP, "0.0.0.0:81-82", "0.0.0.0:81"},
		{"range, the lowest of several", model.TCP, "192.0.2.1:1-65535", "192.0.2.1:80"},
		{"range beside", model.TCP, "192.0.2.1:83-65535", ""},
		{"ICMP", model.ICMP, "0.0.0.0:80", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantListener(t, n, tt.protocol, tt.external, tt.want) })
	}
	// The list of all has those that take IPv4, and no client.
	want := map[string]bool{
		"tcp 192.0.2.1:80": true, "tcp 0.0.0.0:81": true, "tcp [::]:82": true, "udp 192.0.2.1:80": true, "udp [::]:82": true,
	}
	hosttest.On(t, n, func() error {
		all, err := Listeners(t.Context())
		got := map[string]bool{}
		for _, l := range all {
			got[l.Protocol.String()+" "+l.Address.String()] = true
			if l.PID != os.Getpid() || l.Program != "sockets.test" {
				t.Errorf("owner of %s is %s, %d; want this test, %d", l.Address, l.Program, l.PID, os.Getpid())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("all listeners (-want +got):\n%s", diff)
		}
		return err
	})
}

// TestListenerMultipathTCP: what net.Listen opens where the kernel has it.
func TestListenerMultipathTCP(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	var config net.ListenConfig
	config.SetMultipathTCP(true)
	var ln net.Listener
	hosttest.On(t, n, func() (err error) { ln, err = config.Listen(t.Context(), "tcp4", "127.0.0.1:80"); return err })
	defer ln.Close()
	wantListener(t, n, model.TCP, "0.0.0.0:80", "127.0.0.1:80")
}

func wantListener(t *testing.T, n *lab.Namespace, p model.Protocol, external, want string) {
	t.Helper()
	hosttest.On(t, n, func() error {
		var at model.AddrPorts
		if err := at.UnmarshalText([]byte(external)); err != nil {
			return err
		}
		got, err := Listener(t.Context(), p, at)
		switch {
		case got == nil && want != "":
			t.Errorf("nobody listens, want %s", want)
		case got != nil && got.Address.String() != want:
			t.Errorf("%+v listens, want %q", got, want)
		case got != nil && (got.PID != os.Getpid() || got.Program != "sockets.test"):
			t.Errorf("owner is %s, %d; want this test, %d", got.Program, got.PID, os.Getpid())
		}
		return err
	})
}

func open(t *testing.T, n *lab.Namespace, network, addr string) error {
	if network[0] == 't' {
		ln, err := n.Listen(network, addr)
		if err == nil {
			t.Cleanup(func() { ln.Close() })
		}
		return err
	}
	conn, err := n.ListenPacket(network, addr)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return err
}
