package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// EchoRequest is one ICMP echo request.
type EchoRequest struct {
	To           netip.Addr
	ID, Seq      uint16 // ID 0: a random one
	Size         int    // payload bytes
	TTL          int    // 0: the system's
	DontFragment bool   // set DF and ignore the path MTU known so far
}

// ICMPError is an ICMP error message that answered a packet of ours.
type ICMPError struct {
	From       netip.Addr
	Type, Code uint8
	MTU        uint16 // next-hop MTU, for type 3 code 4
}

// Error names the sender, the type and the code.
func (e *ICMPError) Error() string {
	return fmt.Sprintf("ICMP type %d code %d from %s", e.Type, e.Code, e.From)
}

// Ping sends one echo request with 56 bytes from n and returns the round trip.
func Ping(ctx context.Context, n *Namespace, to string) (time.Duration, error) {
	addr, err := netip.ParseAddr(to)
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	return EchoRequest{To: addr, Size: 56}.Send(ctx, n)
}

// Send sends the request from n and waits for its reply, an ICMP error about it
// (*ICMPError) or the end of ctx (5 s at most).
func (r EchoRequest) Send(ctx context.Context, n *Namespace) (time.Duration, error) {
	rtt, err := r.send(ctx, n)
	if err != nil {
		return 0, fmt.Errorf("ping %s from %s: %w", r.To, n.Name, err)
	}
	return rtt, nil
}

func (r EchoRequest) send(ctx context.Context, n *Namespace) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if r.ID == 0 {
		r.ID = uint16(1 + rand.IntN(65535))
	}
	conn, err := r.open(n)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer closeOnDone(ctx, conn)()
	start := time.Now()
	if _, err := conn.WriteToIP(r.message(), &net.IPAddr{IP: r.To.AsSlice()}); err != nil {
		return 0, err
	}
	if err := r.await(conn); err != nil {
		return 0, errors.Join(err, context.Cause(ctx))
	}
	return time.Since(start), nil
}

func (r EchoRequest) open(n *Namespace) (*net.IPConn, error) {
	conn, err := inside(n, "listen", "ip4:icmp", "", func() (*net.IPConn, error) {
		return net.ListenIP("ip4:icmp", &net.IPAddr{IP: net.IPv4zero})
	})
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		ctlErr := raw.Control(func(fd uintptr) { err = r.setOptions(int(fd)) })
		err = errors.Join(err, ctlErr)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (r EchoRequest) setOptions(fd int) error {
	if r.TTL > 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, r.TTL); err != nil {
			return fmt.Errorf("set TTL: %w", err)
		}
	}
	discover := unix.IP_PMTUDISC_DONT
	if r.DontFragment {
		discover = unix.IP_PMTUDISC_PROBE
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover); err != nil {
		return fmt.Errorf("set path MTU discovery: %w", err)
	}
	return nil
}

func (r EchoRequest) message() []byte {
	b := make([]byte, 8+r.Size)
	b[0] = icmpEcho
	binary.BigEndian.PutUint16(b[4:], r.ID)
	binary.BigEndian.PutUint16(b[6:], r.Seq)
	for i := range b[8:] {
		b[8+i] = byte(i)
	}
	binary.BigEndian.PutUint16(b[2:], ^sum(b, 0))
	return b
}

// ICMP types (RFC 792).
const (
	icmpEchoReply    = 0
	icmpUnreachable  = 3
	icmpEcho         = 8
	icmpTimeExceeded = 11
	icmpParameter    = 12
)

func (r EchoRequest) await(conn *net.IPConn) error {
	buf := make([]byte, 65536)
	for {
		size, from, err := conn.ReadFromIP(buf)
		if err != nil {
			return err
		}
		sender, _ := netip.AddrFromSlice(from.IP.To4())
		if done, err := r.match(buf[:size], sender); done {
			return err
		}
	}
}

// match says whether message ends the wait, and how.
func (r EchoRequest) match(message []byte, from netip.Addr) (bool, error) {
	if len(message) < 8 {
		return false, nil
	}
	switch message[0] {
	case icmpEchoReply:
		return from == r.To && r.owns(message), nil
	case icmpUnreachable, icmpTimeExceeded, icmpParameter:
		inner := message[8:]
		if len(inner) < 20 || len(inner) < int(inner[0]&15)*4+8 || !r.owns(inner[int(inner[0]&15)*4:]) {
			return false, nil
		}
		return true, &ICMPError{From: from, Type: message[0], Code: message[1], MTU: binary.BigEndian.Uint16(message[6:])}
	}
	return false, nil
}

func (r EchoRequest) owns(message []byte) bool {
	return binary.BigEndian.Uint16(message[4:]) == r.ID && binary.BigEndian.Uint16(message[6:]) == r.Seq
}

// closeOnDone makes pending and later IO on conn fail when ctx ends.
func closeOnDone(ctx context.Context, conn interface{ SetDeadline(time.Time) error }) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}
