package sockets

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// hostnat's own servers, which are bound to links, are nobody who holds a port;
// its other sockets are.
func TestListenersWithoutOwnServers(t *testing.T) {
	t.Parallel()
	top := lab.StartTopology(t, 0)
	bound := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctl := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), lab.HostLink) })
		if err == nil {
			err = ctl
		}
		return err
	}}
	var found []model.Listener
	err := top.Host.Do(func() error {
		for addr, config := range map[string]net.ListenConfig{lab.HostAddress + ":53": bound, lab.HostAddress + ":54": {}} {
			udp, err := config.ListenPacket(context.Background(), "udp4", addr)
			if err != nil {
				return err
			}
			defer udp.Close()
			tcp, err := config.Listen(context.Background(), "tcp4", addr)
			if err != nil {
				return err
			}
			defer tcp.Close()
		}
		var err error
		found, err = Listeners(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range map[uint16]int{53: 0, 54: 2} {
		at := netip.AddrPortFrom(netip.MustParseAddr(lab.HostAddress), port)
		got := len(slices.DeleteFunc(slices.Clone(found), func(l model.Listener) bool { return l.Address != at }))
		if got != want {
			t.Errorf("%d listeners on %s, want %d: %v", got, at, want, found)
		}
	}
}
