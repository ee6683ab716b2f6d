package ipfix

import "time"

const (
	version      = 10
	headerLength = 16 // of a message (RFC 7011 section 3.1)
	setHeader    = 4

	// MaxLength is how long a message may be: with the headers of UDP and IPv6 it has the
	// 1,280 octets that every IPv6 path takes, and about every IPv4 path (RFC 7011 section 10.3.3).
	MaxLength = 1280 - 40 - 8

	maxText = 600 // octets of a text, so that every record fits into a message
)

// Message is a message that is being filled. The zero Message is empty.
type Message struct {
	bytes   []byte
	set     int // where the set begins that is being filled; 0: none is
	id      uint16
	records uint32
}

// Add puts a record into the message. It reports false, and does nothing, if there is no room.
func (m *Message) Add(r *Record) bool {
	m.begin()
	before := *m
	t := templateOf(r)
	m.open(t.id)
	for _, f := range t.fields {
		m.bytes = f.put(m.bytes, r)
	}
	if len(m.bytes) > MaxLength {
		*m = before
		return false
	}
	m.closeRecord()
	return true
}

// AddTemplates puts all templates into the message, which is empty: they fit.
func (m *Message) AddTemplates() {
	m.begin()
	m.open(templateSet)
	for _, t := range templates {
		m.bytes = order.AppendUint16(m.bytes, t.id)
		m.bytes = order.AppendUint16(m.bytes, uint16(len(t.fields)))
		m.putFields(t.fields)
	}
	m.measureSet()
	m.open(optionsTemplateSet)
	m.bytes = order.AppendUint16(m.bytes, lossesTemplate)
	m.bytes = order.AppendUint16(m.bytes, uint16(len(lossesFields)))
	m.bytes = order.AppendUint16(m.bytes, 1) // the first field is the scope
	m.putFields(lossesFields)
	m.measureSet()
}

// AddLosses puts in how many records were lost; there is room for it behind the templates.
func (m *Message) AddLosses(l Losses) {
	m.begin()
	m.open(lossesTemplate)
	m.bytes = order.AppendUint32(m.bytes, l.Process)
	m.bytes = order.AppendUint64(m.bytes, l.Records)
	m.bytes = putTime(putTime(m.bytes, l.First), l.Last)
	m.closeRecord()
}

// Records is how many data records the message has: the sequence number counts these.
func (m *Message) Records() uint32 { return m.records }

// Finish returns the message as it is sent, and begins an empty one. sequence is how many data
// records were sent before in this stream (RFC 7011 section 3.1).
func (m *Message) Finish(at time.Time, sequence, domain uint32) []byte {
	m.begin()
	b := m.bytes
	*m = Message{}
	order.PutUint16(b[0:], version)
	order.PutUint16(b[2:], uint16(len(b)))
	Stamp(b, at, sequence)
	order.PutUint32(b[12:], domain)
	return b
}

// Stamp changes when a finished message is sent, and after how many data records.
func Stamp(message []byte, at time.Time, sequence uint32) {
	order.PutUint32(message[4:], uint32(at.Unix()))
	order.PutUint32(message[8:], sequence)
}

func (m *Message) begin() {
	if m.bytes == nil {
		m.bytes = make([]byte, headerLength, MaxLength)
	}
}

// open begins a set, unless one of this number is open.
func (m *Message) open(id uint16) {
	if m.set != 0 && m.id == id {
		return
	}
	m.set, m.id = len(m.bytes), id
	m.bytes = order.AppendUint16(m.bytes, id)
	m.bytes = order.AppendUint16(m.bytes, setHeader)
}

func (m *Message) closeRecord() {
	m.records++
	m.measureSet()
}

func (m *Message) measureSet() {
	order.PutUint16(m.bytes[m.set+2:], uint16(len(m.bytes)-m.set))
}

func (m *Message) putFields(fields []field) {
	for _, f := range fields {
		m.bytes = order.AppendUint16(m.bytes, f.id)
		m.bytes = order.AppendUint16(m.bytes, f.size)
	}
}
