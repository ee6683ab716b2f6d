package datapath

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/natmodel"
)

// connect makes the host's socket of a transparent flow. Nobody answers it: it
// goes on trying for hours, and counts as connected meanwhile.
func (w *twin) connect(t testing.TB, flow natmodel.Transparent) error {
	t.Helper()
	check(t, w.host.Sysctl("net/ipv4/tcp_syn_retries", "127"))
	fd := -1
	t.Cleanup(func() { unix.Close(fd) })
	return w.host.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1), unix.Bind(fd, sockaddr(flow.Remote)))
		if err != nil {
			return err
		}
		if err = unix.Connect(fd, sockaddr(flow.Internal)); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
		return err
	})
}

func sockaddr(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}
