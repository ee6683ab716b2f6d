package portproxy

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/sniff"
)

// helloFor is a small ClientHello: what clients of the wild send is package
// sniff's matter.
func helloFor(name string) []byte {
	extension := append([]byte{0, byte(len(name) + 3), 0, 0, byte(len(name))}, name...)
	body := append(make([]byte, 2+32+1), 0, 2, 0x13, 1, 1, 0, 0, byte(len(extension)+4), 0, 0, 0, byte(len(extension)))
	body = append(body, extension...)
	message := append([]byte{1, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 3, 1, 0, byte(len(message))}, message...)
}

func requestFor(host string) []byte {
	return fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
}

func target(host string) model.HostPorts {
	return model.HostPorts{Host: host, Ports: model.PortRange{Low: 443, High: 443}}
}

func TestChooseByName(t *testing.T) {
	t.Parallel()
	routes := []model.ProxyRoute{{Pattern: "www.a.example", Connect: target("c1")}, {Pattern: "*.b.example", Connect: target("c2")}}
	withDefault := append(routes, model.ProxyRoute{Pattern: "*", Connect: target("c3")})
	tests := []struct {
		name   string
		routes []model.ProxyRoute
		head   []byte
		want   string // empty: an error
		enough bool
	}{
		{"TLS", routes, helloFor("www.a.example"), "c1", true},
		{"TLS in upper case", routes, helloFor("WWW.A.EXAMPLE"), "c1", true},
		{"TLS, wildcard", routes, helloFor("x.b.example"), "c2", true},
		{"TLS, half of it", routes, helloFor("www.a.example")[:30], "", false},
		{"TLS, no route", routes, helloFor("c.example"), "", true},
		{"TLS, default", withDefault, helloFor("c.example"), "c3", true},
		{"HTTP", routes, requestFor("www.a.example:80"), "c1", true},
		{"HTTP, wildcard", routes, requestFor("X.b.example."), "c2", true},
		{"HTTP, half of it", routes, requestFor("www.a.example")[:20], "", false},
		{"HTTP, no route", routes, requestFor("c.example"), "", true},
		{"HTTP, default", withDefault, requestFor("c.example"), "c3", true},
		{"HTTP, two hosts", withDefault, requestFor("a.example\r\nHost: b.example"), "", true},
		{"something else", routes, []byte("SSH-2.0-x\r\n"), "", true},
		{"something else, default", withDefault, []byte("SSH-2.0-x\r\n"), "c3", true},
		{"HTTP/2 without TLS, default", withDefault, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "c3", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, enough, err := newNameChooser(test.routes).Choose(test.head)
			if got.Host != test.want || enough != test.enough || (err == nil) != (test.want != "" || !enough) {
				t.Errorf("got %s, enough %v, %v", got, enough, err)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	unrouted := noRouteError{"x"}
	tests := []struct {
		name string
		head []byte
		why  error
		want string // a part
	}{
		{"TLS, no route", helloFor("x"), unrouted, "\x15\x03\x03\x00\x02\x02\x70"},
		{"TLS, server gone", helloFor("x"), refused, "\x15\x03\x03\x00\x02\x02\x50"},
		{"TLS, too long", helloFor("x")[:9], errHeadTooLong, "\x15\x03\x03\x00\x02\x02\x32"},
		{"HTTP, no route", requestFor("x"), unrouted, "HTTP/1.1 421 "},
		{"HTTP, server gone", requestFor("x"), refused, "HTTP/1.1 502 "},
		{"HTTP, server silent", requestFor("x"), os.ErrDeadlineExceeded, "HTTP/1.1 502 "},
		{"HTTP, too late", requestFor("x")[:20], os.ErrDeadlineExceeded, "HTTP/1.1 408 "},
		{"HTTP, too long", requestFor("x")[:20], errHeadTooLong, "HTTP/1.1 431 "},
		{"HTTP, two hosts", requestFor("a\r\nHost: b"), sniff.ErrAmbiguous, "HTTP/1.1 400 "},
		{"something else", []byte("SSH-2.0-x\r\n"), unrouted, ""},
		{"nothing", nil, os.ErrDeadlineExceeded, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := string(byName{}.refusal(test.head, fmt.Errorf("wrapped: %w", test.why)))
			if !strings.Contains(got, test.want) || test.want == "" && got != "" {
				t.Errorf("the client is told %q, want %q", got, test.want)
			}
		})
	}
}

func TestNoRouteIsOneLine(t *testing.T) {
	t.Parallel()
	if got := (noRouteError{"a\r\nb" + strings.Repeat("x", 5000)}).Error(); strings.ContainsAny(got, "\r\n") || len(got) > 400 {
		t.Errorf("the rule's last error is %q", got)
	}
}
