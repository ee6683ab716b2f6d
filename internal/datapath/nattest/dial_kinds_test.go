package nattest

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
)

// dialKind is a way in which a program of the host may dial.
type dialKind struct {
	kind, protocol int
	ip6            bool
	connected      bool // UDP
	from           string
	device         string
}

func (k dialKind) String() string {
	name := map[int]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_MPTCP: "mptcp"}[k.protocol]
	if k.ip6 {
		name += "6"
	}
	if k.connected {
		name += " connected"
	}
	if k.from != "" {
		name += " from " + k.from
	}
	if k.device != "" {
		name += " bound to " + k.device
	}
	return name
}

// What was dialled is what is seen, in whichever way a program dials: getpeername
// and the sender of an answer are the address and port that it gave.
func TestWhatWasDialledIsSeen(t *testing.T) {
	t.Parallel()
	r := newDialRig(t)
	kinds := []dialKind{
		{kind: unix.SOCK_STREAM, protocol: unix.IPPROTO_TCP},
		{kind: unix.SOCK_STREAM, protocol: unix.IPPROTO_MPTCP},
		{kind: unix.SOCK_DGRAM, protocol: unix.IPPROTO_UDP},
		{kind: unix.SOCK_DGRAM, protocol: unix.IPPROTO_UDP, connected: true},
	}
	own, loopback := lab.HostAddress, "127.0.0.1"
	for _, k := range kinds {
		for _, to := range []string{loopback, "127.0.0.2", own, "172.16.1.1"} {
			dialAndAsk(t, r, k, to)
			six := k
			six.ip6 = true
			dialAndAsk(t, r, six, "::ffff:"+to)
		}
		six := k
		six.ip6 = true
		dialAndAsk(t, r, six, "::1")
		six.from = "::1"
		dialAndAsk(t, r, six, "::1")
		for from, to := range map[string]string{loopback: loopback, "127.0.0.9": loopback, own: own, "172.16.1.1": own} {
			bound := k
			bound.from = from
			dialAndAsk(t, r, bound, to)
		}
		bound := k
		bound.device = lab.HostLink
		dialAndAsk(t, r, bound, own)
		bound.device = "lo"
		dialAndAsk(t, r, bound, loopback)
		bound.ip6, bound.device = true, lab.HostLink
		dialAndAsk(t, r, bound, "::ffff:"+own)
		bound.device = "br1"
		for _, to := range []string{loopback, own, "172.16.1.1"} {
			bound.ip6, bound.from = false, ""
			dialAndAsk(t, r, bound, to)
			bound.from = own
			dialAndAsk(t, r, bound, to)
			bound.ip6, bound.from = true, ""
			dialAndAsk(t, r, bound, "::ffff:"+to)
		}
	}
}

func dialAndAsk(t *testing.T, r *dptest.Rig, k dialKind, to string) {
	t.Helper()
	t.Run(fmt.Sprintf("%s to %s", k, to), func(t *testing.T) {
		dialled := netip.AddrPortFrom(netip.MustParseAddr(to), 8080)
		var seen string
		var peer netip.AddrPort
		err := r.Host.Do(func() (err error) {
			seen, peer, err = k.ask(dialled)
			return err
		})
		if errors.Is(err, unix.EPROTONOSUPPORT) && k.protocol == unix.IPPROTO_MPTCP {
			t.Skip("this kernel has no MPTCP")
		}
		if err != nil {
			t.Fatal(err)
		}
		if peer != dialled {
			t.Errorf("the program was shown %v instead of %v", peer, dialled)
		}
		if !strings.HasPrefix(seen, "172.16.1.1:") {
			t.Errorf("the server saw %q, not the gateway", seen)
		}
	})
}

// ask returns what an echo server says of the socket's end, and whom the socket
// takes it for.
func (k dialKind) ask(to netip.AddrPort) (seen string, peer netip.AddrPort, err error) {
	family := unix.AF_INET
	if k.ip6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, k.kind|unix.SOCK_CLOEXEC, k.protocol)
	if err != nil {
		return "", peer, err
	}
	defer unix.Close(fd)
	if err := k.prepare(fd); err != nil {
		return "", peer, err
	}
	connects := k.kind == unix.SOCK_STREAM || k.connected
	if connects {
		err = unix.Connect(fd, k.sockaddr(to))
	}
	if err == nil && k.connected {
		_, err = unix.Write(fd, []byte("who am I?"))
	} else if err == nil && !connects {
		err = unix.Sendto(fd, []byte("who am I?"), 0, k.sockaddr(to))
	}
	if err != nil {
		return "", peer, err
	}
	buf := make([]byte, 64)
	n, from, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return "", peer, fmt.Errorf("no answer: %w", err)
	}
	if k.kind == unix.SOCK_DGRAM && toAddrPort(from) != to {
		return "", toAddrPort(from), nil
	}
	if connects {
		if from, err = unix.Getpeername(fd); err != nil {
			return "", peer, err
		}
	}
	return string(buf[:n]), toAddrPort(from), nil
}

func (k dialKind) prepare(fd int) error {
	wait := &unix.Timeval{Sec: 5}
	err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, wait),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, wait))
	if k.device != "" {
		err = errors.Join(err, unix.BindToDevice(fd, k.device))
	}
	if k.from != "" {
		err = errors.Join(err, unix.Bind(fd, k.sockaddr(netip.AddrPortFrom(netip.MustParseAddr(k.from), 0))))
	}
	return err
}

func (k dialKind) sockaddr(a netip.AddrPort) unix.Sockaddr {
	if k.ip6 {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// toAddrPort leaves v4-mapped addresses as they are: they count here.
func toAddrPort(from unix.Sockaddr) netip.AddrPort {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
