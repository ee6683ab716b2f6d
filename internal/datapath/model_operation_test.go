package datapath

import (
	"time"

	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// kind is what an operation does.
type kind int

const (
	kindOut      kind = iota // a packet from the inside, to anywhere
	kindReply                // from the inside, on a session that lives
	kindIn                   // from a session's remote to its external address
	kindNear                 // to a session's external address, from anywhere
	kindPort                 // from anywhere, to any external port
	kindErrorIn              // an ICMP error about what a session sent
	kindErrorOut             // about what a session received
	kindHairpin              // from the inside, to an address of the host
	kindEgress               // about to leave the host
	kindOther                // no IPv4
	kindFollow               // a later fragment of a datagram whose first one was sent
	kindWait
	kindMapping  // is there or not
	kindSettings // of both NATs: one of them changes
	kindShort    // a TCP connection from the inside is opened, answered and reset
	kinds
)

func (k kind) String() string {
	return [...]string{"out", "reply", "in", "near", "port", "error in", "error out", "hairpin", "egress", "other", "follow", "wait", "mapping", "settings", "short connection"}[k]
}

var waits = []time.Duration{time.Second, 3 * time.Second, 7 * time.Second, 20 * time.Second, 45 * time.Second, 150 * time.Second, 500 * time.Second}

// operation is one event of a sequence, in small numbers: what they stand for
// depends on what lives when it happens.
type operation struct {
	Kind             kind
	Pick             int // which of the sessions
	Who              int // which sender inside
	Port             int
	Remote           int
	RemotePort       int
	Protocol         model.Protocol
	Flags            byte
	Size             int // of the payload
	ICMPType         int // of errors and odd messages
	Odd              odd
	Byte, Value, Bit int // details of what is odd
}

// odd is what is unusual about a packet.
type odd int

const (
	plain odd = iota
	oddTTL
	oddFirstFragment
	oddLaterFragment
	oddOptions
	oddIPChecksum
	oddChecksum
	oddNoChecksum
	oddBig
	oddTrailer
	oddShort // cut off
	oddByte  // of the headers
	oddLength
	oddSource
	oddDestination
	oddMAC
	oddProtocol
	oddQuery // an ICMP type
	oddGSO
	odds
)

var (
	tcpFlags = []byte{wire.Syn, wire.SynAck, wire.Ack, wire.FinAck, wire.Rst, wire.Rst | wire.Ack, wire.Fin, 0, wire.Syn | wire.Fin, wire.Syn | wire.Rst}
	// How often the kinds are drawn.
	weights = []kind{
		kindOut, kindOut, kindOut, kindOut, kindReply, kindReply, kindReply, kindIn, kindIn, kindIn, kindIn, kindNear, kindNear,
		kindPort, kindPort, kindErrorIn, kindErrorOut, kindHairpin, kindHairpin, kindHairpin, kindErrorOut, kindFollow, kindFollow, kindFollow, kindEgress, kindOther, kindWait, kindWait, kindMapping, kindSettings, kindShort, kindShort,
	}
)

// operations draws one. Rapid prefers small numbers, which is good for making a
// failure smaller and bad for finding one: so numbers are mixed, but not 0.
var operations = rapid.Custom(func(t *rapid.T) operation {
	bits := mix(rapid.Uint64().Draw(t, "bits"))
	take := func(below int) int {
		n := int(bits % uint64(below))
		bits /= uint64(below)
		return n
	}
	o := operation{
		Kind: weights[take(len(weights))], Pick: take(8), Who: take(len(parties)), Port: take(4), Remote: take(3), RemotePort: take(3),
		Protocol: wire.Protocols[take(len(wire.Protocols))], Flags: tcpFlags[take(len(tcpFlags))], Size: take(12), ICMPType: take(6),
	}
	if rapid.Uint8().Draw(t, "is odd")%4 == 3 {
		bits = mix(uint64(rapid.Uint32().Draw(t, "odd")))
		if o.Odd = odd(take(int(odds) + 3)); o.Odd >= odds {
			o.Odd = oddFirstFragment // or kindFollow would have little to do
		}
		o.Byte, o.Value, o.Bit = take(64), take(256), take(8)
	}
	return o
})

// sequences draws about forty, or one.
var sequences = rapid.Custom(func(t *rapid.T) []operation {
	var all []operation
	for range 8 {
		all = append(all, rapid.SliceOf(operations).Draw(t, "part")...)
	}
	return all
})

// mix is splitmix64's last step.
func mix(v uint64) uint64 {
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
