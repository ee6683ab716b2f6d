package sniff

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Numbers of RFC 8446, sections 4 and 5.1, and RFC 6066, section 3.
const (
	recordHandshake = 22
	recordHeader    = 5
	maxRecord       = 1 << 14
	majorVersion    = 3 // of all of TLS and of SSL 3.0; a record's is "to be ignored for all purposes"
	noVersion       = 0x10
	clientHello     = 1
	messageHeader   = 4
	extServerName   = 0
	nameTypeHost    = 0
)

// parseTLS finds the server name. Of a ClientHello with an encrypted one inside
// (ECH) that is the outer name: nobody but the server can read the other.
func parseTLS(head []byte) (Hello, error) {
	body, err := findClientHello(head)
	if err != nil {
		return Hello{Protocol: TLS}, err
	}
	name, ok := serverName(body)
	if !ok {
		return Hello{}, nil
	}
	return Hello{Protocol: TLS, Name: name}, nil
}

// findClientHello puts the message together, which may be spread over records.
// Nil: this is not TLS.
func findClientHello(head []byte) (body []byte, err error) {
	var message []byte
	for s := cryptobyte.String(head); ; {
		record, ok, err := nextRecord(&s)
		if err != nil || !ok {
			return nil, err
		}
		if message == nil {
			message = slices.Clip(record) // of one record, mostly, without a copy
		} else {
			message = append(message, record...)
		}
		if message[0] != clientHello {
			return nil, nil
		}
		if body, ok := whole(message); ok {
			return body, nil
		}
	}
}

// nextRecord takes a record with a part of a handshake off s. Not ok: it is
// another one, or none.
func nextRecord(s *cryptobyte.String) (fragment []byte, ok bool, err error) {
	// Judged byte by byte, so that what is not TLS is not waited for.
	if b := *s; len(b) > 0 && b[0] != recordHandshake || len(b) > 1 && b[1] >= noVersion {
		return nil, false, nil
	}
	var length uint16
	if !s.Skip(recordHeader-2) || !s.ReadUint16(&length) {
		return nil, false, ErrIncomplete
	}
	if length == 0 || length > maxRecord {
		return nil, false, nil
	}
	if !s.ReadBytes(&fragment, int(length)) {
		return nil, false, ErrIncomplete
	}
	return fragment, true, nil
}

// whole returns a handshake message's body once all of it is there.
func whole(message []byte) (body []byte, ok bool) {
	s := cryptobyte.String(message)
	var in cryptobyte.String
	ok = s.Skip(1) && s.ReadUint24LengthPrefixed(&in)
	return in, ok
}

// serverName returns the host name that a ClientHello's body (RFC 8446, section
// 4.1.2) asks for, empty if it asks for none. Everything else in it is passed
// over, unknown and reserved values (GREASE, RFC 8701) like others: it is for
// the server to judge. Not ok: it is no ClientHello.
func serverName(body []byte) (name string, ok bool) {
	s := cryptobyte.String(body)
	var session, suites, compressions, extensions cryptobyte.String
	const versionAndRandom = 2 + 32
	if !s.Skip(versionAndRandom) || !s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16LengthPrefixed(&suites) || !s.ReadUint8LengthPrefixed(&compressions) {
		return "", false
	}
	if s.Empty() { // before TLS 1.3 there may be none
		return "", true
	}
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return "", false
	}
	for !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return "", false
		}
		if kind == extServerName {
			return hostName(data)
		}
	}
	return "", true
}

// hostName reads the extension: a list with a name of each type, of which there
// is but one.
func hostName(data cryptobyte.String) (name string, ok bool) {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return "", false
	}
	for !list.Empty() {
		var kind uint8
		var value cryptobyte.String
		if !list.ReadUint8(&kind) || !list.ReadUint16LengthPrefixed(&value) {
			return "", false
		}
		if kind == nameTypeHost {
			return string(value), true
		}
	}
	return "", true
}
