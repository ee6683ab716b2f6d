package sniff

import "fmt"

// alert is a TLS alert's description (RFC 8446, section 6).
type alert byte

const (
	alertCloseNotify      alert = 0
	alertDecodeError      alert = 50
	alertInternalError    alert = 80
	alertUnrecognizedName alert = 112
)

// Unrouted is what a client is told whose name leads nowhere: TLS's fatal alert
// unrecognized_name, HTTP's 421. Empty if there is nothing to say in the
// client's protocol.
func Unrouted(h Hello) []byte {
	if h.Name == "" {
		return answer(h, alertUnrecognizedName, "421 Misdirected Request", "this port serves by name, and the request has none")
	}
	return answer(h, alertUnrecognizedName, "421 Misdirected Request", fmt.Sprintf("nothing is served here under the name %q", clip(h.Name)))
}

// Unreachable is what a client is told whose server cannot be reached: TLS's
// fatal alert internal_error, HTTP's 502.
func Unreachable(h Hello) []byte {
	return answer(h, alertInternalError, "502 Bad Gateway", fmt.Sprintf("the server for the name %q cannot be reached", clip(h.Name)))
}

// Unreadable is what a client is told whose first bytes Parse refuses.
func Unreadable(h Hello, err error) []byte {
	return answer(h, alertDecodeError, "400 Bad Request", err.Error())
}

// TooLong is what a client is told whose first message does not end.
func TooLong(h Hello) []byte {
	return answer(h, alertDecodeError, "431 Request Header Fields Too Large", "the request's head is too long")
}

// TooLate is what a client is told whose first message did not come in time.
func TooLate(h Hello) []byte {
	return answer(h, alertCloseNotify, "408 Request Timeout", "the request did not come in time")
}

func answer(h Hello, description alert, status, line string) []byte {
	switch h.Protocol {
	case TLS:
		return description.record()
	case HTTP:
		line = "hostnat: " + line + "\n"
		return fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"+
			"Content-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(line), line)
	}
	return nil
}

// record is the alert as a client reads it before any key is agreed on (RFC
// 8446, section 6; the record's version is the one every TLS takes).
func (a alert) record() []byte {
	const recordAlert, warning, fatal = 21, 1, 2
	level := byte(fatal)
	if a == alertCloseNotify {
		level = warning
	}
	return []byte{recordAlert, majorVersion, 3, 0, 2, level, byte(a)}
}

// maxNameShown is the longest name that DNS has, in bytes.
const maxNameShown = 253

func clip(name string) string {
	if len(name) > maxNameShown {
		return name[:maxNameShown] + "..."
	}
	return name
}
