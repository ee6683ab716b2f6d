package sniff

import (
	"bufio"
	"bytes"
	"net"
	"net/textproto"
	"net/url"
	"strings"
)

// parseHTTP finds a request's host. It wants the whole head: a second Host may
// be at its end. HTTP/2 without TLS begins with a line much like a request's
// (RFC 9113, section 3.4) and says no name that could be read here.
func parseHTTP(head []byte) (Hello, error) {
	end := bytes.IndexByte(head, '\n')
	if end < 0 {
		return Hello{}, ErrIncomplete
	}
	method, target, ok := parseRequestLine(head[:end])
	if !ok {
		return Hello{}, nil
	}
	lines := head[end+1:]
	if end = endOfLines(lines); end < 0 {
		return Hello{Protocol: HTTP}, ErrIncomplete
	}
	name, err := hostOf(method, target, lines[:end])
	return Hello{Protocol: HTTP, Name: name}, err
}

// parseRequestLine takes "METHOD TARGET HTTP/1.x" apart (RFC 9112, section 3).
func parseRequestLine(line []byte) (method, target string, ok bool) {
	words := strings.Split(strings.TrimSuffix(string(line), "\r"), " ")
	if len(words) != 3 || len(words[2]) != len("HTTP/1.1") || !strings.HasPrefix(words[2], "HTTP/1.") {
		return "", "", false
	}
	return words[0], words[1], true
}

// endOfLines returns the length of the lines up to the empty one, that one too;
// -1 if it is not there.
func endOfLines(lines []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(lines[at:], '\n')
		if i < 0 {
			return -1
		}
		line := lines[at : at+i]
		at += i + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return at
		}
	}
}

// hostOf returns the host of a request with these header lines. A target that
// is a whole URL wins over Host (RFC 9112, section 3.2.2); CONNECT's target is
// the host itself.
func hostOf(method, target string, lines []byte) (string, error) {
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
	if err != nil || hasSpaceInName(header) {
		return "", ErrMalformed
	}
	hosts := header["Host"]
	switch {
	case len(hosts) > 1:
		return "", ErrAmbiguous
	case method == "CONNECT":
		return withoutPort(target), nil
	case !strings.HasPrefix(target, "/") && target != "*":
		u, err := url.Parse(target)
		if err != nil || u.Host == "" {
			return "", ErrMalformed
		}
		return withoutPort(u.Host), nil
	case len(hosts) == 1:
		return withoutPort(hosts[0]), nil
	}
	return "", nil
}

// hasSpaceInName finds "Host : x", which one server takes for a Host and another
// does not (RFC 9112, section 5.1: to be refused).
func hasSpaceInName(header textproto.MIMEHeader) bool {
	for name := range header {
		if strings.ContainsAny(name, " \t") {
			return true
		}
	}
	return false
}

// withoutPort cuts the port off, and the brackets of an IPv6 address.
func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	return host
}
