package sniff

import "errors"

// Protocol is what a client speaks, as far as it matters here.
type Protocol int

// The protocols. Unknown is also what looks like one of the others and is none.
const (
	Unknown Protocol = iota
	TLS
	HTTP
)

// Hello is what a client says first.
type Hello struct {
	Protocol Protocol
	// Name is the server that the client asks for, as it spells it but without a
	// port and an IPv6 address's brackets; empty if it names none. It may
	// contain any byte.
	Name string
}

// What is wrong with a client's first bytes.
var (
	// ErrIncomplete says that more bytes are needed to tell.
	ErrIncomplete = errors.New("the client's first message is not complete")
	// ErrAmbiguous says that a request names several hosts (RFC 9112, section
	// 3.2: to be refused), of which the server might heed another one.
	ErrAmbiguous = errors.New("the request has more than one Host")
	// ErrMalformed says that a request's head is none that a server would take.
	ErrMalformed = errors.New("the request's head is malformed")
)

// Parse reads what a client has sent so far. What is no TLS and no HTTP/1 is of
// protocol Unknown, without an error: it may be for a server that knows it.
// Hello.Protocol is set with an error too, as far as it is known. Parse keeps
// nothing of head.
func Parse(head []byte) (Hello, error) {
	if len(head) == 0 {
		return Hello{}, ErrIncomplete
	}
	switch first := head[0]; {
	case first == recordHandshake:
		return parseTLS(head)
	case 'A' <= first && first <= 'Z': // methods are upper case, all that are registered
		return parseHTTP(head)
	}
	return Hello{}, nil
}
