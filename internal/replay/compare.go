package replay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/checksum"
	"github.com/hostnat/hostnat/internal/datapath/rerun"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// differences says in what a packet's fate is not as recorded.
func differences(p *recording.Packet, got *rerun.Outcome) []string {
	var list []string
	note := func(same bool, format string, args ...any) {
		if !same {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	reason := ""
	if got.Verdict == model.VerdictDropped {
		reason = got.Reason.String()
	}
	note(p.Verdict == got.Verdict && p.Code == got.Code, "verdict: recorded %s (%d), now %s (%d)", p.Verdict, p.Code, got.Verdict, got.Code)
	note(p.Reason == reason, "reason: recorded %q, now %q", p.Reason, reason)
	note(p.Told == got.Told, "told its sender: recorded %v, now %v", p.Told, got.Told)
	var now *recording.Session
	if s := got.Session; s != nil {
		now = &recording.Session{Protocol: s.Protocol, Internal: s.Internal, External: s.External, Remote: s.Remote, State: s.State.String()}
	}
	note(sessionText(p.Session) == sessionText(now), "session: recorded %s, now %s", sessionText(p.Session), sessionText(now))
	if len(list) > 0 {
		return list // the rest follows from that
	}
	note(got.Shortened || p.Length == got.Length, "length: recorded %d bytes, now %d", p.Length, got.Length)
	if goesOn(p) {
		recorded, now := alike(p, slices.Clone(p.Went), got.Went, got.Shortened)
		note(bytes.Equal(recorded, now), "packet: recorded %x, now %x", recorded, now)
	}
	return list
}

func goesOn(p *recording.Packet) bool { return p.Verdict != model.VerdictDropped || p.Told }

func sessionText(s *recording.Session) string {
	if s == nil {
		return "none"
	}
	text := fmt.Sprintf("%v %v %v %v", s.Protocol, s.Internal, s.External, s.Remote)
	if s.Protocol == model.TCP {
		text += " " + s.State
	}
	return text
}

// Offsets in a frame of IPv4 behind Ethernet.
const (
	etherType   = 12
	header      = 14 // of Ethernet: where IP begins
	lengthAt    = header + 2
	idAt        = header + 4
	fragmentAt  = header + 6
	protocolAt  = header + 9
	ipSumAt     = header + 10
	addressesAt = header + 12
	etherIPv4   = 0x0800
)

// alike takes away what may differ between two runs of one packet: an identification that
// the data path chose, and checksums that stood for something else. A packet that comes
// from a sender on the same machine has no checksum yet but a part of it, which the kernel
// completes later; and where not all of a packet was kept, its checksum is another one.
func alike(p *recording.Packet, recorded, now []byte, shortened bool) (a, b []byte) {
	n := min(len(recorded), len(now), recording.Kept)
	a, b = recorded[:n], slices.Clone(now[:n])
	if n < header+20 || binary.BigEndian.Uint16(a[etherType:]) != etherIPv4 || len(p.Came) < header+20 {
		return a, b
	}
	if came := p.Came[idAt : idAt+2]; !bytes.Equal(a[idAt:idAt+2], came) && !bytes.Equal(b[idAt:idAt+2], came) {
		setID(a)
		setID(b)
	}
	at := sumAt(a)
	switch {
	case shortened:
		copy(b[lengthAt:], a[lengthAt:lengthAt+2])
		copy(b[ipSumAt:], a[ipSumAt:ipSumAt+2])
		blank(a, b, at)
	case isPartial(p.Came) && isPartial(a), p.Told && p.CameLength > len(p.Came):
		blank(a, b, at)
	}
	return a, b
}

// setID makes the identification 0, and the header's checksum what it is then.
func setID(frame []byte) {
	sum := checksum.Replace(binary.BigEndian.Uint16(frame[ipSumAt:]), binary.BigEndian.Uint16(frame[idAt:]), 0)
	binary.BigEndian.PutUint16(frame[idAt:], 0)
	binary.BigEndian.PutUint16(frame[ipSumAt:], sum)
}

func blank(a, b []byte, at int) {
	if at > 0 && at+2 <= len(a) {
		clear(a[at : at+2])
		clear(b[at : at+2])
	}
}

// sumAt is where a packet's checksum of TCP, UDP or ICMP is; 0: it has none.
func sumAt(frame []byte) int {
	if binary.BigEndian.Uint16(frame[fragmentAt:])&0x1fff != 0 {
		return 0
	}
	l4 := header + int(frame[header]&15)*4
	switch model.Protocol(frame[protocolAt]) {
	case model.TCP:
		return l4 + 16
	case model.UDP:
		return l4 + 6
	case model.ICMP:
		return l4 + 2
	}
	return 0
}

// isPartial reports whether a packet's checksum is that of its pseudo header alone: the
// kernel completes it later (CHECKSUM_PARTIAL).
func isPartial(frame []byte) bool {
	at := 0
	if len(frame) >= header+20 && binary.BigEndian.Uint16(frame[etherType:]) == etherIPv4 {
		at = sumAt(frame)
	}
	if at == 0 || at+2 > len(frame) || model.Protocol(frame[protocolAt]) == model.ICMP {
		return false
	}
	pseudo := uint32(frame[protocolAt]) + uint32(binary.BigEndian.Uint16(frame[lengthAt:])) - uint32(frame[header]&15)*4
	return checksum.Sum(pseudo, frame[addressesAt:addressesAt+8]) == binary.BigEndian.Uint16(frame[at:])
}
