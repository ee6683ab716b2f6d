package test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/hostnat/hostnat/dev/lab"
)

// Flags of CHANGE-REQUEST, RFC 5780 section 7.2.
const (
	changePort    = 2
	changeAddress = 4
)

// stunServer answers on two addresses with two ports each, and from another of
// these if it is asked to (RFC 5780 section 6).
type stunServer struct {
	sockets [2][2]net.PacketConn // address, port
}

func startSTUN(t *testing.T, n *lab.Namespace, addresses [2]string) *stunServer {
	t.Helper()
	s := &stunServer{}
	for a, address := range addresses {
		for p, port := range []string{"3478", "3479"} {
			conn, err := n.ListenPacket("udp4", net.JoinHostPort(address, port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			s.sockets[a][p] = conn
		}
	}
	for a := range s.sockets {
		for p := range s.sockets[a] {
			go s.serve(a, p)
		}
	}
	return s
}

func (s *stunServer) serve(a, p int) {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.sockets[a][p].ReadFrom(buf)
		if err != nil {
			return
		}
		request := stun.New()
		if stun.Decode(buf[:n], request) != nil || request.Type != stun.BindingRequest {
			continue
		}
		client, other := from.(*net.UDPAddr), s.sockets[1-a][1-p].LocalAddr().(*net.UDPAddr)
		answer, err := stun.Build(request, stun.BindingSuccess,
			&stun.XORMappedAddress{IP: client.IP, Port: client.Port},
			&stun.OtherAddress{IP: other.IP, Port: other.Port}, stun.Fingerprint)
		if err != nil {
			continue
		}
		answerA, answerP := a, p
		if change, err := request.Get(stun.AttrChangeRequest); err == nil && len(change) == 4 {
			flags := binary.BigEndian.Uint32(change)
			if flags&changeAddress != 0 {
				answerA = 1 - a
			}
			if flags&changePort != 0 {
				answerP = 1 - p
			}
		}
		_, _ = s.sockets[answerA][answerP].WriteTo(answer.Raw, from)
	}
}

// at is the address of one of the server's sockets.
func (s *stunServer) at(a, p int) netip.AddrPort {
	return s.sockets[a][p].LocalAddr().(*net.UDPAddr).AddrPort()
}

// errSilent: nothing came back in time, which filtering looks like.
var errSilent = errors.New("no answer")

// ask sends a binding request, a few times if nothing comes back, and returns
// the address that the server saw.
func ask(conn net.PacketConn, server netip.AddrPort, change uint32) (netip.AddrPort, error) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if change != 0 {
		request.Add(stun.AttrChangeRequest, binary.BigEndian.AppendUint32(nil, change))
		request.Encode()
	}
	for range 3 {
		if _, err := conn.WriteTo(request.Raw, net.UDPAddrFromAddrPort(server)); err != nil {
			return netip.AddrPort{}, err
		}
		seen, err := awaitMapped(conn, request.TransactionID)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return seen, err
		}
	}
	return netip.AddrPort{}, errSilent
}

func awaitMapped(conn net.PacketConn, id [stun.TransactionIDSize]byte) (netip.AddrPort, error) {
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return netip.AddrPort{}, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return netip.AddrPort{}, err
		}
		answer := stun.New()
		if stun.Decode(buf[:n], answer) != nil || answer.TransactionID != id {
			continue
		}
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(answer); err != nil {
			return netip.AddrPort{}, err
		}
		address, _ := netip.AddrFromSlice(mapped.IP)
		return netip.AddrPortFrom(address.Unmap(), uint16(mapped.Port)), nil
	}
}

// mappingOf is the test of RFC 5780 section 4.3: how the NAT maps a socket.
func (s *stunServer) mappingOf(conn net.PacketConn) (string, netip.AddrPort, error) {
	var seen [3]netip.AddrPort
	for i, at := range []netip.AddrPort{s.at(0, 0), s.at(1, 0), s.at(1, 1)} {
		var err error
		if seen[i], err = ask(conn, at, 0); err != nil {
			return "", netip.AddrPort{}, err
		}
	}
	switch {
	case seen[0] == seen[1] && seen[1] == seen[2]:
		return "endpoint-independent", seen[0], nil
	case seen[1] == seen[2]:
		return "address-dependent", seen[0], nil
	}
	return "address-and-port-dependent", seen[0], nil
}

// filteringOf is the test of RFC 5780 section 4.4; the socket must be a new one.
func (s *stunServer) filteringOf(conn net.PacketConn) (string, error) {
	if _, err := ask(conn, s.at(0, 0), 0); err != nil {
		return "", err
	}
	if _, err := ask(conn, s.at(0, 0), changeAddress|changePort); !errors.Is(err, errSilent) {
		return "endpoint-independent", err
	}
	if _, err := ask(conn, s.at(0, 0), changePort); !errors.Is(err, errSilent) {
		return "address-dependent", err
	}
	return "address-and-port-dependent", nil
}
