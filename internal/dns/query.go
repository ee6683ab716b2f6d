package dns

import (
	"encoding/binary"
	"strings"

	"github.com/miekg/dns"
)

// Sizes in bytes.
const (
	headerSize = 12   // RFC 1035 section 4.1.1
	plainSize  = 512  // an answer by UDP to a query without EDNS (RFC 1035 section 4.2.1)
	largeSize  = 1232 // the largest by UDP that no path fragments (RFC 9715 section 3.1, appendix A)
	maxMessage = 65535
)

// Bits of the header's third byte (RFC 1035 section 4.1.1).
const (
	bitResponse  = 0x80
	bitTruncated = 0x02
)

// maxExtra is how many records a query may have beside its question: EDNS and a
// signature.
const maxExtra = 2

// query is a well-formed query with one question.
type query struct {
	raw      []byte // as it came
	header   dns.MsgHdr
	question dns.Question
	name     string   // of the question, in lower case
	end      int      // of the question in raw
	opt      *dns.OPT // nil: without EDNS
	sizeAt   int      // where the size of EDNS is in raw, if it may be changed
}

// parse reads a message from a client. If it is not a query that can be
// answered, ok is false and code says what to answer; code -1 is nothing at all.
func parse(raw []byte) (q query, code int, ok bool) {
	if len(raw) < headerSize || raw[2]&bitResponse != 0 {
		return q, -1, false // an answer to an answer could go on forever
	}
	q.raw, q.header = raw, readHeader(raw)
	if q.header.Opcode != dns.OpcodeQuery {
		return q, dns.RcodeNotImplemented, false
	}
	counts := func(i int) uint16 { return binary.BigEndian.Uint16(raw[4+2*i:]) }
	// RFC 9619: one question. Other sections than the additional one have
	// nothing in a query; IXFR (RFC 1995), which has, is refused all the same.
	if counts(0) != 1 || counts(1) != 0 || counts(2) != 0 || counts(3) > maxExtra {
		return q, dns.RcodeFormatError, false
	}
	if q.end = questionEnd(raw); q.end == 0 {
		return q, dns.RcodeFormatError, false
	}
	name, _, err := dns.UnpackDomainName(raw, headerSize)
	if err != nil {
		return q, dns.RcodeFormatError, false
	}
	q.question = dns.Question{Name: name, Qtype: binary.BigEndian.Uint16(raw[q.end-4:]), Qclass: binary.BigEndian.Uint16(raw[q.end-2:])}
	q.name = strings.ToLower(name)
	if !q.readExtra(int(counts(3))) {
		return q, dns.RcodeFormatError, false
	}
	return q, 0, true
}

// readExtra reads the additional section, which must end where the message does.
func (q *query) readExtra(count int) bool {
	at := q.end
	for range count {
		rr, next, err := dns.UnpackRR(q.raw, at)
		if err != nil || rr == nil || next <= at {
			return false
		}
		if opt, is := rr.(*dns.OPT); is {
			// One, and owned by the root (RFC 6891 section 6.1.1).
			if q.opt != nil || opt.Hdr.Name != "." || q.raw[at] != 0 {
				return false
			}
			q.opt, q.sizeAt = opt, at+3
		}
		at = next
	}
	if count > 1 { // a signature covers the size
		q.sizeAt = 0
	}
	return at == len(q.raw)
}

func readHeader(raw []byte) dns.MsgHdr {
	return dns.MsgHdr{
		Id:               binary.BigEndian.Uint16(raw),
		Opcode:           int(raw[2]>>3) & 0xf,
		RecursionDesired: raw[2]&0x01 != 0,
		CheckingDisabled: raw[3]&0x10 != 0,
	}
}

// questionEnd returns where the first question of a message ends, 0 if it is
// not well-formed. Nothing comes before it that it could point to.
func questionEnd(raw []byte) int {
	at := headerSize
	for at < len(raw) {
		length := int(raw[at])
		at += 1 + length
		switch {
		case length > 63 || at-headerSize > 255: // RFC 1035 section 2.3.4
			return 0
		case length == 0:
			if at += 4; at > len(raw) { // type and class
				return 0
			}
			return at
		}
	}
	return 0
}

// size is how many bytes the client takes by UDP.
func (q *query) size() int {
	if q.opt == nil {
		return plainSize
	}
	return max(plainSize, int(q.opt.UDPSize()))
}

// refusal is the answer to what is no proper query: a header alone.
func refusal(header dns.MsgHdr, code int) *dns.Msg {
	m := &dns.Msg{MsgHdr: header}
	m.Response, m.RecursionAvailable, m.Rcode = true, true, code
	return m
}
