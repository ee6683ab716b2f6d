package natmodel

import (
	"encoding/binary"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// answers are the errors that a sender inside gets: type, code.
var answers = map[Reason][2]byte{
	HopLimit:          {timeExceeded, 0},
	TooBig:            {unreachable, 4},
	NoExternalAddress: {unreachable, 13},
	NoNAT:             {unreachable, 13},
	Isolated:          {unreachable, 13},
	LinkLocal:         {unreachable, 13},
}

// reset is what a TCP segment of no session is answered with: RFC 9293 section
// 3.10.7.1. Nothing is said about a RST, a fragment, or a packet with IP options.
func (p *packet) reset() Result {
	if p.protocol != model.TCP || p.tcpFlags&flagRST != 0 || p.isFragment() || p.l4 != ethernet+20 {
		return dropped(NoSession)
	}
	segment := p.frame[p.l4:]
	tcp := make([]byte, 20)
	copy(tcp[0:], segment[2:4])
	copy(tcp[2:], segment[0:2])
	tcp[12] = 5 << 4
	if p.tcpFlags&flagACK != 0 {
		copy(tcp[4:], segment[8:12])
		tcp[13] = flagRST
	} else {
		payload := uint32(p.u16(ethernet+2)) - 20 - uint32(segment[12]>>4)*4
		for _, takesOne := range []byte{flagSYN, flagFIN} {
			if p.tcpFlags&takesOne != 0 {
				payload++
			}
		}
		binary.BigEndian.PutUint32(tcp[8:], binary.BigEndian.Uint32(segment[4:])+payload)
		tcp[13] = flagRST | flagACK
	}
	pseudo := slices.Concat(p.dest.Addr().AsSlice(), p.source.Addr().AsSlice(), []byte{0, byte(model.TCP), 0, 20}, tcp)
	binary.BigEndian.PutUint16(tcp[16:], ^sum(pseudo))

	ip := make([]byte, 20)
	ip[0], ip[3], ip[6], ip[8], ip[9] = 0x45, 40, 0x40, 64, byte(model.TCP)
	copy(ip[12:], p.dest.Addr().AsSlice())
	copy(ip[16:], p.source.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip))
	return Result{Verdict: Answered, Reason: NoSession, Frame: slices.Concat(p.frame[6:12], p.frame[:6], p.frame[12:14], ip, tcp)}
}

// outsider is who sent a packet from outside: told by the address that it spoke
// to, so that no inside address shows outside.
func outsider(p *packet) sender { return sender{Network: Network{Gateway: p.dest.Addr()}} }

// refuse drops a packet and tells its sender, where it may.
func (m *Model) refuse(p *packet, to sender, why Reason) Result {
	if why == NoSession {
		return p.reset()
	}
	code, has := m.answerTo(to.NAT, why)
	if !has || !p.mayBeAnswered() {
		return dropped(why)
	}
	return Result{Verdict: Answered, Reason: why, Frame: p.answer(to, code, m.config.MTU)}
}

// answerTo is the error for a reason. What a flow is told that no port or state
// is left for is a choice: RFC 5508 REQ-8, RFC 6888 REQ-11B, decision D3.
func (m *Model) answerTo(id uint32, why Reason) (code [2]byte, has bool) {
	switch why {
	case OutOfPorts, BindingsFull, SessionsFull, EndpointLimit:
	default:
		code, has = answers[why]
		return code, has
	}
	switch m.config.NATs[id].Exhaustion {
	case model.Silent:
		return code, false
	case model.Unreachable:
		return [2]byte{unreachable, 1}, true
	}
	return [2]byte{unreachable, 13}, true
}

// mayBeAnswered is RFC 1812 section 4.3.2.7: no error about an error or about a
// later fragment. A packet with IP options is not answered either: a choice.
func (p *packet) mayBeAnswered() bool {
	if p.isLaterFragment() || p.l4 != ethernet+20 {
		return false
	}
	if p.protocol != model.ICMP {
		return true
	}
	// Source quench (4) and redirect (5) are errors too: RFC 1122 section 3.2.2.
	return len(p.frame) > p.l4 && !isError(p.frame[p.l4]) && p.frame[p.l4] != 4 && p.frame[p.l4] != 5
}

// answer makes the error (RFC 792; RFC 1812 section 4.3.2): from the gateway,
// quoting the packet as its sender knows it. Of TCP the whole fixed header.
func (p *packet) answer(to sender, code [2]byte, mtu int) []byte {
	quoted := 20 + 8
	if p.protocol == model.TCP {
		quoted = 20 + 20
	}
	quotation := make([]byte, quoted) // zeros where the packet is shorter
	copy(quotation, p.frame[ethernet:])

	icmp := slices.Concat([]byte{code[0], code[1], 0, 0, 0, 0, 0, 0}, quotation)
	if code == [2]byte{unreachable, 4} {
		binary.BigEndian.PutUint16(icmp[6:], uint16(mtu)) // RFC 1191 section 4
	}
	binary.BigEndian.PutUint16(icmp[2:], ^sum(icmp))

	ip := make([]byte, 20)
	ip[0], ip[1] = 0x45, 0xc0 // precedence internetwork control: RFC 1812 section 4.3.2.5
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(icmp)))
	ip[8], ip[9] = 64, byte(model.ICMP)
	copy(ip[12:], to.Gateway.AsSlice())
	copy(ip[16:], p.source.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip))

	return slices.Concat(p.frame[6:12], p.frame[:6], p.frame[12:14], ip, icmp)
}
