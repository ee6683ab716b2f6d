// Package ipfixtest reads IPFIX as a collector does, by RFC 7011 alone: tests hold to it what
// internal/ipfix writes.
package ipfixtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Collector keeps the templates of one stream. The zero Collector knows none.
type Collector struct {
	templates map[uint16][]element
	Next      uint32 // the sequence number that the next message should have
}

type element struct{ id, size uint16 }

// Record is a data record: its template, and its values by the numbers of their elements.
type Record struct {
	Template uint16
	Values   map[uint16][]byte
}

// Message is a message that was read.
type Message struct {
	Exported  time.Time
	Sequence  uint32
	Domain    uint32
	Templates int
	Records   []Record
}

// Number is a value as a number; 0 if there is none.
func (r Record) Number(id uint16) (n uint64) {
	for _, b := range r.Values[id] {
		n = n<<8 | uint64(b)
	}
	return n
}

// At is the address and port of two elements.
func (r Record) At(address, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(r.Values[address])
	return netip.AddrPortFrom(a, uint16(r.Number(port)))
}

// Has reports whether there is a value.
func (r Record) Has(id uint16) bool { _, ok := r.Values[id]; return ok }

var errShort = errors.New("ends too early")

// Read reads one message and remembers its templates.
func (c *Collector) Read(b []byte) (m Message, err error) {
	if len(b) < 16 || binary.BigEndian.Uint16(b) != 10 || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
		return m, fmt.Errorf("a header of % x with %d octets in all", b[:min(len(b), 16)], len(b))
	}
	m.Exported = time.Unix(int64(binary.BigEndian.Uint32(b[4:])), 0)
	m.Sequence, m.Domain = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	for b = b[16:]; len(b) > 0; {
		if len(b) < 4 {
			return m, fmt.Errorf("set header: %w", errShort)
		}
		id, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if length < 4 || length > len(b) {
			return m, fmt.Errorf("set %d of %d octets where there are %d", id, length, len(b))
		}
		if err := c.readSet(&m, id, b[4:length]); err != nil {
			return m, fmt.Errorf("set %d: %w", id, err)
		}
		b = b[length:]
	}
	c.Next = m.Sequence + uint32(len(m.Records))
	return m, nil
}

func (c *Collector) readSet(m *Message, id uint16, b []byte) (err error) {
	for len(b) > 0 {
		switch {
		case id == 2 || id == 3:
			b, err = c.readTemplate(b, id == 3)
			m.Templates++
		default:
			var r Record
			r, b, err = c.readRecord(id, b)
			m.Records = append(m.Records, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Collector) readTemplate(b []byte, options bool) ([]byte, error) {
	head := 4
	if options {
		head = 6
	}
	if len(b) < head {
		return nil, errShort
	}
	id, count := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	if scope := binary.BigEndian.Uint16(b[head-2:]); options && (scope == 0 || int(scope) > count) {
		return nil, fmt.Errorf("%d scope fields of %d", scope, count)
	}
	b = b[head:]
	if id < 256 || len(b) < 4*count {
		return nil, fmt.Errorf("template %d with %d fields in %d octets", id, count, len(b))
	}
	var list []element
	for range count {
		list = append(list, element{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])})
		b = b[4:]
	}
	if c.templates == nil {
		c.templates = make(map[uint16][]element)
	}
	c.templates[id] = list
	return b, nil
}

func (c *Collector) readRecord(id uint16, b []byte) (Record, []byte, error) {
	r := Record{Template: id, Values: make(map[uint16][]byte)}
	list, known := c.templates[id]
	if !known {
		return r, nil, errors.New("its template did not come before")
	}
	for _, e := range list {
		size := int(e.size)
		if e.size == 65535 {
			if len(b) < 1 || b[0] == 255 && len(b) < 3 {
				return r, nil, errShort
			}
			if size, b = int(b[0]), b[1:]; size == 255 {
				size, b = int(binary.BigEndian.Uint16(b)), b[2:]
			}
		}
		if len(b) < size {
			return r, nil, errShort
		}
		r.Values[e.id], b = b[:size], b[size:]
	}
	return r, b, nil
}
