package sockets

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Constants of linux/inet_diag.h and linux/sock_diag.h.
const (
	sockDiagByFamily = 20
	diagSKV6Only     = 11 // INET_DIAG_SKV6ONLY
	sizeofDiagMsg    = 72 // struct inet_diag_msg
	sizeofDiagReq    = 56 // struct inet_diag_req_v2
)

// Socket states (net/tcp_states.h). An unconnected UDP socket is "closed".
const (
	stateClosed = 7
	stateListen = 10
)

// boundSockets lists the IPv4 and IPv6 sockets that listen. A listener for
// multipath TCP, as Go programs open, is among those for TCP.
func boundSockets(ctx context.Context, p model.Protocol) ([]boundSocket, error) {
	state := stateClosed
	if p == model.TCP {
		state = stateListen
	}
	var all []boundSocket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		found, err := host.Dump(ctx, func() ([]boundSocket, error) { return diag(family, p, 1<<state) })
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// diagRequest is struct inet_diag_req_v2.
type diagRequest struct {
	family   uint8
	protocol model.Protocol
	states   uint32 // bits
}

func (r diagRequest) Len() int { return sizeofDiagReq }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, r.Len())
	b[0], b[1] = r.family, uint8(r.protocol)
	binary.NativeEndian.PutUint32(b[4:], r.states)
	return b
}

func diag(family uint8, protocol model.Protocol, states uint32) ([]boundSocket, error) {
	req := nl.NewNetlinkRequest(sockDiagByFamily, unix.NLM_F_DUMP)
	req.AddData(diagRequest{family: family, protocol: protocol, states: states})
	messages, err := req.Execute(unix.NETLINK_SOCK_DIAG, 0)
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	sockets := make([]boundSocket, 0, len(messages))
	for _, m := range messages {
		s, err := parseSocket(m)
		if err != nil {
			return nil, err
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

func parseSocket(m []byte) (boundSocket, error) {
	if len(m) < sizeofDiagMsg {
		return boundSocket{}, fmt.Errorf("list sockets: message of %d bytes", len(m))
	}
	addr := netip.AddrFrom4([4]byte(m[8:12]))
	if m[0] == unix.AF_INET6 {
		addr = netip.AddrFrom16([16]byte(m[8:24])).Unmap()
	}
	s := boundSocket{
		local: netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m[4:])),
		link:  binary.NativeEndian.Uint32(m[40:]),
		inode: binary.NativeEndian.Uint32(m[68:]),
	}
	attrs, err := nl.ParseRouteAttr(m[sizeofDiagMsg:])
	if err != nil {
		return boundSocket{}, fmt.Errorf("list sockets: %w", err)
	}
	for _, a := range attrs {
		if a.Attr.Type == diagSKV6Only {
			s.v6only = len(a.Value) > 0 && a.Value[0] != 0
		}
	}
	return s, nil
}
