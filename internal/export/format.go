package export

import (
	"time"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/ipfix"
	"github.com/hostnat/hostnat/internal/syslog"
)

// packet is what goes out in one write.
type packet struct {
	bytes  []byte
	events uint64
}

// losses is what a destination was not sent.
type losses struct {
	events      uint64
	first, last time.Time
}

// format turns events into packets. add and rest are called under the stream's lock, the
// others by the one goroutine that sends.
type format interface {
	// add takes an event. If a packet is full, it is returned; else it has no bytes.
	add(e *event.Event) packet
	// rest is what is not full; it may have no bytes.
	rest() packet
	// begin is called on each new connection.
	begin()
	// stamp is called before a packet is written.
	stamp(b []byte, now time.Time)
	// written is called after it.
	written(p packet)
	// preface is what the collector must have, and have again every now and then; without bytes: nothing.
	preface(l losses, now time.Time) []byte
	// report says what was lost.
	report(l losses, now time.Time) []byte
}

// domain is the observation domain: an exporter has one (RFC 7011 section 3.1).
const domain = 1

// process is the number of the exporting process.
const process = 1

type ipfixFormat struct {
	message  ipfix.Message
	remotes  bool
	sequence uint32 // data records that were sent on this connection
}

func (f *ipfixFormat) add(e *event.Event) (full packet) {
	r := recordOf(e, f.remotes)
	if f.message.Add(&r) {
		return packet{}
	}
	full = f.rest()
	f.message.Add(&r)
	return full
}

func (f *ipfixFormat) rest() packet {
	n := f.message.Records()
	if n == 0 {
		return packet{}
	}
	return packet{f.message.Finish(time.Time{}, 0, domain), uint64(n)}
}

func (f *ipfixFormat) begin() { f.sequence = 0 }

func (f *ipfixFormat) stamp(b []byte, now time.Time) { ipfix.Stamp(b, now, f.sequence) }

func (f *ipfixFormat) written(p packet) { f.sequence += uint32(p.events) }

func (f *ipfixFormat) preface(l losses, now time.Time) []byte {
	var m ipfix.Message
	m.AddTemplates()
	return f.finish(&m, l, now)
}

func (f *ipfixFormat) report(l losses, now time.Time) []byte {
	var m ipfix.Message
	return f.finish(&m, l, now)
}

// finish adds what was lost. It counts as a data record itself.
func (f *ipfixFormat) finish(m *ipfix.Message, l losses, now time.Time) []byte {
	if l.events > 0 {
		m.AddLosses(ipfix.Losses{Process: process, Records: l.events, First: l.first, Last: l.last})
	}
	before := f.sequence
	f.sequence += m.Records()
	return m.Finish(now, before, domain)
}

type syslogFormat struct {
	origin  syslog.Origin
	framed  bool // each message is preceded by its length
	remotes bool
}

func (f *syslogFormat) add(e *event.Event) packet {
	m := messageOf(*e, f.remotes)
	return packet{f.bytes(&m), 1}
}

func (f *syslogFormat) bytes(m *syslog.Message) []byte {
	if f.framed {
		return f.origin.AppendFramed(nil, m)
	}
	return f.origin.Append(nil, m)
}

func (f *syslogFormat) report(l losses, now time.Time) []byte {
	m := lossMessage(l.events, now)
	return f.bytes(&m)
}

func (*syslogFormat) rest() packet                     { return packet{} }
func (*syslogFormat) begin()                           {}
func (*syslogFormat) stamp([]byte, time.Time)          {}
func (*syslogFormat) written(packet)                   {}
func (*syslogFormat) preface(losses, time.Time) []byte { return nil }
