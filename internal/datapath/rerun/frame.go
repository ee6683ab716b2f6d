package rerun

import (
	"encoding/binary"

	"github.com/hostnat/hostnat/internal/checksum"
	"github.com/hostnat/hostnat/internal/recording"
)

const (
	ethernet = 14
	ipv4     = 0x0800
	shortest = ethernet + 20 // of IPv4, that a test run takes
	longest  = 3400          // that a test run takes: it has one page, with room before and behind
	segments = 2             // that are left of a packet that is cut into many
)

// frameOf is the packet to run: what was not kept of it is zeros, which no program reads.
// Of a packet that is longer than a test run takes, which the kernel cuts later, it has
// the headers and as many segments as fit.
func frameOf(p *recording.Packet) (frame []byte, shortened bool, err error) {
	if p.CameLength < ethernet || len(p.Came) < ethernet {
		return nil, false, NotFollowed("frames without an Ethernet header")
	}
	isIPv4 := binary.BigEndian.Uint16(p.Came[12:]) == ipv4
	if isIPv4 && len(p.Came) < shortest {
		return nil, false, NotFollowed("frames that are too short for their headers")
	}
	length := p.CameLength
	if length > longest {
		if length = ethernet + 60 + 60 + segments*int(p.SegmentSize); !isIPv4 || p.SegmentSize == 0 || length > longest || length > p.CameLength {
			return nil, false, NotFollowed("packets of more than 3400 bytes")
		}
		shortened = true
	}
	frame = make([]byte, length)
	copy(frame, p.Came)
	if shortened {
		setLength(frame[ethernet:])
	}
	return frame, shortened, nil
}

// setLength makes a packet one of the length that it has now.
func setLength(ip []byte) {
	sum := checksum.Replace(binary.BigEndian.Uint16(ip[10:]), binary.BigEndian.Uint16(ip[2:]), uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[10:], sum)
}
