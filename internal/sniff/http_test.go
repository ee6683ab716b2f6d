package sniff

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHTTP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     Hello
		err      error
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: www.a.example\r\n\r\n", Hello{HTTP, "www.a.example"}, nil},
		{"HTTP/1.0 with a host", "GET / HTTP/1.0\r\nHost: www.a.example\r\n\r\n", Hello{HTTP, "www.a.example"}, nil},
		{"HTTP/1.0 without", "GET / HTTP/1.0\r\n\r\n", Hello{HTTP, ""}, nil},
		{"not the first line", "GET /a?b=c HTTP/1.1\r\nAccept: */*\r\nHost: b.example\r\nCookie: x\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"line ends without CR", "GET / HTTP/1.1\nHost: b.example\n\n", Hello{HTTP, "b.example"}, nil},
		{"name in another case", "GET / HTTP/1.1\r\nhOsT:\tb.example \r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"port", "GET / HTTP/1.1\r\nHost: b.example:8080\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"upper case and final dot stay", "GET / HTTP/1.1\r\nHost: B.Example.:80\r\n\r\n", Hello{HTTP, "B.Example."}, nil},
		{"address", "GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", Hello{HTTP, "192.0.2.1"}, nil},
		{"IPv6 address", "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", Hello{HTTP, "2001:db8::1"}, nil},
		{"IPv6 address and port", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", Hello{HTTP, "2001:db8::1"}, nil},
		{"whole URL wins", "GET http://b.example:80/x HTTP/1.1\r\nHost: a.example\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"whole URL with a user", "GET http://a.example@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: b.example\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"CONNECT", "CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"WebSocket", "GET /ws HTTP/1.1\r\nHost: b.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"body behind it", "POST / HTTP/1.1\r\nHost: b.example\r\nContent-Length: 40\r\n\r\nHost: a.example\r\n\r\n", Hello{HTTP, "b.example"}, nil},
		{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Hello{HTTP, ""}, nil},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nhost: b.example\r\n\r\n", Hello{HTTP, ""}, ErrAmbiguous},
		{"header without colon", "GET / HTTP/1.1\r\nHost b.example\r\n\r\n", Hello{HTTP, ""}, ErrMalformed},
		{"space before the colon", "GET / HTTP/1.1\r\nHost : b.example\r\n\r\n", Hello{HTTP, ""}, ErrMalformed},
		{"target that is nothing", "GET b.example HTTP/1.1\r\nHost: b.example\r\n\r\n", Hello{HTTP, ""}, ErrMalformed},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Hello{}, nil},
		{"SSH", "SSH-2.0-OpenSSH_9.2p1\r\n", Hello{}, nil},
		{"SMTP", "EHLO b.example\r\n", Hello{}, nil},
		{"lower case", "get / HTTP/1.1\r\n", Hello{}, nil},
		{"zero byte", "\x00", Hello{}, nil},
		{"nothing yet", "", Hello{}, ErrIncomplete},
		{"head not ended", "GET / HTTP/1.1\r\nHost: b.example\r\n", Hello{Protocol: HTTP}, ErrIncomplete},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(test.in))
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("hello (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHTTPInPieces(t *testing.T) {
	t.Parallel()
	const request = "GET / HTTP/1.1\r\nHost: www.a.example\r\nAccept: */*\r\n\r\n"
	for n := range len(request) {
		if got, err := Parse([]byte(request[:n])); !errors.Is(err, ErrIncomplete) {
			t.Errorf("%d bytes: %+v, %v; want it incomplete", n, got, err)
		}
	}
}

// TestAnswers shows that Go's client understands what it is told, in one line.
func TestAnswers(t *testing.T) {
	t.Parallel()
	hello := Hello{HTTP, "www.a.example"}
	tests := []struct {
		name   string
		words  []byte
		status int
		body   string
	}{
		{"unrouted", Unrouted(hello), 421, "hostnat: nothing is served here under the name \"www.a.example\"\n"},
		{"nameless", Unrouted(Hello{HTTP, ""}), 421, "hostnat: this port serves by name, and the request has none\n"},
		{"name with a line end", Unrouted(Hello{HTTP, "a\r\nX: y"}), 421, "hostnat: nothing is served here under the name \"a\\r\\nX: y\"\n"},
		{"unreachable", Unreachable(hello), 502, "hostnat: the server for the name \"www.a.example\" cannot be reached\n"},
		{"ambiguous", Unreadable(hello, ErrAmbiguous), 400, "hostnat: the request has more than one Host\n"},
		{"too long", TooLong(hello), 431, "hostnat: the request's head is too long\n"},
		{"too late", TooLate(hello), 408, "hostnat: the request did not come in time\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(test.words)), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.status || !response.Close {
				t.Errorf("status %d, close %v; want %d and close", response.StatusCode, response.Close, test.status)
			}
			if diff := cmp.Diff(test.body, string(body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
	if words := Unrouted(Hello{}); words != nil {
		t.Errorf("a client of an unknown protocol is told %q", words)
	}
}

// FuzzHTTP holds Parse against Go's own server: where that would take a request,
// Parse finds the same host.
func FuzzHTTP(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"))
	f.Add([]byte("GET http://b.example:80/x HTTP/1.1\r\nHost: a.example\r\n\r\n"))
	f.Add([]byte("CONNECT [::1]:443 HTTP/1.1\r\nHost: a.example\r\nX: y\r\n z\r\n\r\n"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte("GET //a/b HTTP/1.0\nHost:b.example:1\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Parse(in)
		request, readErr := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
		if readErr != nil || request.ProtoMajor != 1 || strings.ContainsAny(request.Host, "[]:@ /?#%\\") {
			return // ports and brackets have their own table
		}
		if first := in[0]; first < 'A' || first > 'Z' {
			return // a method that is not registered
		}
		if err != nil {
			if !errors.Is(err, ErrAmbiguous) && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v; net/http takes it", err)
			}
			return
		}
		if want := (Hello{HTTP, request.Host}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
