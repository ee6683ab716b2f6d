// Package syslog writes messages as RFC 5424 has them. Values alone: who sends them is
// internal/export's matter.
package syslog

import (
	"strconv"
	"strings"
	"time"
)

// Facility is what kind of program speaks; Severity how much it matters (RFC 5424 section 6.2.1).
type (
	Facility uint8
	Severity uint8
)

// Those that are used.
const (
	Daemon Facility = 3

	Warning     Severity = 4
	Information Severity = 6
)

// Origin is who speaks. What is empty is told as unknown.
type Origin struct {
	Facility       Facility
	Host, App, PID string
}

// Message is one message.
type Message struct {
	Severity Severity
	Time     time.Time
	ID       string  // its type, such as SessionCreate
	Element  string  // the name of the structured data, such as hostnat@32473; empty: there is none
	Params   []Param // of Element
	Text     string
}

// Param is a name and a value of structured data.
type Param struct{ Name, Value string }

const (
	timeLayout = "2006-01-02T15:04:05.000000Z07:00" // microseconds at the most (RFC 5424 section 6.2.3)
	nothing    = "-"

	maxHost, maxApp, maxPID, maxID = 255, 48, 128, 32 // octets (RFC 5424 section 6)
)

// Append appends the message as it is in a datagram.
func (o Origin) Append(b []byte, m *Message) []byte {
	b = append(b, '<')
	b = strconv.AppendUint(b, uint64(o.Facility)<<3|uint64(m.Severity), 10)
	b = append(b, ">1 "...)
	b = m.Time.UTC().AppendFormat(b, timeLayout)
	for _, f := range []struct {
		text string
		most int
	}{{o.Host, maxHost}, {o.App, maxApp}, {o.PID, maxPID}, {m.ID, maxID}} {
		b = append(append(b, ' '), word(f.text, f.most)...)
	}
	b = append(b, ' ')
	if m.Element == "" {
		b = append(b, nothing...)
	} else {
		b = appendElement(b, m)
	}
	if m.Text != "" {
		b = append(append(b, ' '), m.Text...)
	}
	return b
}

// AppendFramed appends the message as it is in a stream: with its length before it (RFC 6587 section 3.4.1).
func (o Origin) AppendFramed(b []byte, m *Message) []byte {
	message := o.Append(nil, m)
	b = strconv.AppendInt(b, int64(len(message)), 10)
	return append(append(b, ' '), message...)
}

// word is a field of the header: printable ASCII without spaces.
func word(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return nothing
	}
	return text[:min(len(text), most)]
}

// escapes are for the values of structured data (RFC 5424 section 6.3.3).
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

func appendElement(b []byte, m *Message) []byte {
	b = append(append(b, '['), m.Element...)
	for _, p := range m.Params {
		b = append(append(append(b, ' '), p.Name...), `="`...)
		b = append(append(b, escapes.Replace(p.Value)...), '"')
	}
	return append(b, ']')
}
