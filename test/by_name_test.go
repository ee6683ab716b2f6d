package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// TestTransparentProxyLives has a proxy by name through what a host goes
// through, and looks each time whether the server sees the client's address.
func TestTransparentProxyLives(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	// The strictest that the way back can meet. A VPN's script sets the second.
	for _, key := range []string{"rp_filter", "src_valid_mark"} {
		if err := h.Host.Sysctl("net/ipv4/conf/all/"+key, "1"); err != nil {
			t.Fatal(err)
		}
	}
	serveClients(t, h.inside)
	before := h.ip("rule", "show")
	spec := api.ProxySpec{Kind: "name", Listen: ":80", Routes: []string{"www.a.example=c1:8000"}, Transparent: true}
	p, err := h.AddProxy(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	with := h.ip("rule", "show")
	if !strings.Contains(with, "fwmark 0x684e5458 iif hn-web lookup 1749963864") {
		t.Errorf("rules with a transparent proxy:\n%s", with)
	}
	h.wantSeen(h.Remote, lab.RemoteAddress)
	h.wantSeen(h.Host, "172.16.1.1")

	h.ip("rule", "delete", "priority", "104")
	h.waitFor(20*time.Second, "the rule to be back", func() bool { return h.ip("rule", "show") == with })
	h.wantSeen(h.Remote, lab.RemoteAddress)
	h.ip("route", "flush", "table", "1749963864")
	h.waitFor(20*time.Second, "the route to be back", func() bool { return h.ip("route", "show", "table", "1749963864") != "" })
	h.wantSeen(h.Remote, lab.RemoteAddress)

	h.end(syscall.SIGKILL)
	h.start()
	h.wantSeen(h.Remote, lab.RemoteAddress)
	if err := h.DeleteProxy(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	if got := h.ip("rule", "show"); got != before {
		t.Errorf("rules before:\n%safter:\n%s", before, got)
	}
	if _, err := h.AddProxy(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := h.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.ip("rule", "show"); strings.Contains(got, "proto 104") {
		t.Errorf("rules after down:\n%s", got)
	}
	_ = h.daemon.Wait()
	h.start() // for the end of the test
	h.wantSeen(h.Remote, lab.RemoteAddress)
}

// serveClients answers HTTP on port 8000 with the client's address, and ends
// each connection.
func serveClients(t *testing.T, n *lab.Namespace) {
	t.Helper()
	l, err := n.Listen("tcp4", ":8000")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = io.WriteString(w, client)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
}

// wantSeen asks for the site from inside a namespace.
func (h *host) wantSeen(n *lab.Namespace, want string) {
	h.t.Helper()
	var got string
	var err error
	h.waitFor(20*time.Second, "the server to see "+want, func() bool {
		got, err = fetchPage(h.t.Context(), n, net.JoinHostPort(lab.HostAddress, "80"), "www.a.example")
		return err == nil
	})
	if got != want {
		h.t.Errorf("the server sees %s, want %s", got, want)
	}
}

func fetchPage(ctx context.Context, n *lab.Namespace, address, host string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := n.Dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// ip runs iproute2 on the host.
func (h *host) ip(args ...string) string {
	h.t.Helper()
	out, err := h.Host.Command(h.t.Context(), append([]string{"ip", "-4"}, args...)...).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "FIB table does not exist") {
		h.t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
	return string(out)
}
