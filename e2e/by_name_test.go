//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

const sites = 75

func siteName(i int) string { return fmt.Sprintf("www.site%02d.example", i+1) }

// site is a web server in an endpoint of its own: HTTPS with a certificate for
// its own name alone on 443, HTTP on 80. Both answer "NAME CLIENT-ADDRESS".
type site struct {
	name        string
	certificate *x509.Certificate
}

// startSites attaches an endpoint for each site and starts its servers.
func startSites(t *testing.T, h *host) (all []site) {
	t.Helper()
	for i := range sites {
		h.attach(fmt.Sprintf("c%d", i+1), "--netns", h.Endpoints[i].Name)
		all = append(all, startSite(t, h.Endpoints[i], siteName(i)))
	}
	return all
}

func startSite(t *testing.T, n *lab.Namespace, name string) site {
	t.Helper()
	pair := selfSigned(t, name)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s %s\n", name, client)
	})
	for _, port := range []string{":80", ":443"} {
		l, err := n.Listen("tcp4", port)
		if err != nil {
			t.Fatal(err)
		}
		if port == ":443" {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { server.Close() })
	}
	return site{name, pair.Leaf}
}

func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// byNameClient asks for names from inside a namespace, always at one address.
type byNameClient struct {
	t    *testing.T
	n    *lab.Namespace
	host string // an address of the host
}

// https gets a page and checks the certificate. It returns what the page says.
func (c byNameClient) https(name string, want *x509.Certificate) (string, error) {
	conn, err := c.dial("443")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	roots := x509.NewCertPool()
	roots.AddCert(want)
	secure := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: roots})
	if err := secure.HandshakeContext(c.t.Context()); err != nil {
		return "", err
	}
	_, body, err := get(secure, name)
	return body, err
}

func (c byNameClient) http(name string) (int, string, error) {
	conn, err := c.dial("80")
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	return get(conn, name)
}

func (c byNameClient) dial(port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	conn, err := c.n.Dial(ctx, "tcp", net.JoinHostPort(c.host, port))
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(10 * time.Second))
}

func get(conn net.Conn, name string) (status int, body string, err error) {
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name); err != nil {
		return 0, "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(all)), err
}

// TestByName serves 75 sites, each in an endpoint of its own, behind one address
// and the ports 443 and 80.
func TestByName(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, sites+1)
	all := startSites(t, h)
	h.attach("inside", "--netns", h.Endpoints[sites].Name)
	before := rulesAndRoutes(t, h.Host)
	for _, port := range []string{"443", "80"} {
		args := []string{"proxy", "add", "name", ":" + port}
		for i, s := range all {
			args = append(args, fmt.Sprintf("%s=c%d:%s", s.name, i+1, port))
		}
		h.hostnat(append(args, "*.site01.example=c1:"+port)...)
	}
	remote := byNameClient{t, h.Remote, lab.HostAddress}
	for _, s := range all {
		if got, err := remote.https(s.name, s.certificate); err != nil || got != s.name+" "+lab.RemoteAddress {
			t.Fatalf("https://%s answers %q, %v", s.name, got, err)
		}
		if status, got, err := remote.http(s.name); err != nil || status != 200 || got != s.name+" "+lab.RemoteAddress {
			t.Fatalf("http://%s answers %d %q, %v", s.name, status, got, err)
		}
	}
	t.Run("wildcard", func(t *testing.T) {
		if _, got, err := remote.http("other.site01.example"); err != nil || got != siteName(0)+" "+lab.RemoteAddress {
			t.Errorf("answers %q, %v", got, err)
		}
	})
	t.Run("who cannot be shown", func(t *testing.T) {
		const gateway = "172.16.1.1"
		for _, from := range []byNameClient{
			{t, h.Host, lab.HostAddress}, {t, h.Host, "127.0.0.1"}, {t, h.Host, "::1"}, {t, h.Host, gateway},
			{t, h.Endpoints[sites], lab.HostAddress}, {t, h.Endpoints[sites], gateway},
		} {
			if got, err := from.https(all[1].name, all[1].certificate); err != nil || got != all[1].name+" "+gateway {
				t.Errorf("from %s, at %s: %q, %v; want it seen as %s", from.n.Name, from.host, got, err, gateway)
			}
		}
	})
	t.Run("not transparent", func(t *testing.T) {
		h.hostnat("proxy", "add", "name", ":8080", "*=c1:80", "--transparent=false")
		if got := curl(t, h.Remote, "http://"+lab.HostAddress+":8080/"); got != siteName(0)+" 172.16.1.1\n" {
			t.Errorf("answers %q", got)
		}
	})
	t.Run("curl", func(t *testing.T) {
		name := all[4].name
		got := curl(t, h.Remote, "--insecure", "--resolve", name+":443:"+lab.HostAddress, "https://"+name+"/")
		if got != name+" "+lab.RemoteAddress+"\n" {
			t.Errorf("answers %q", got)
		}
	})
	t.Run("no route", func(t *testing.T) {
		_, err := remote.https("c.example", all[0].certificate)
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("the TLS client says %v", err)
		}
		if status, got, err := remote.http("c.example"); err != nil || status != 421 {
			t.Errorf("answers %d %q, %v", status, got, err)
		}
	})
	t.Run("endpoint gone", func(t *testing.T) {
		h.hostnat("endpoint", "detach", "c3")
		_, err := remote.https(all[2].name, all[2].certificate)
		if err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("the TLS client says %v", err)
		}
		if status, got, err := remote.http(all[2].name); err != nil || status != 502 {
			t.Errorf("answers %d %q, %v", status, got, err)
		}
	})
	t.Run("nothing stays", func(t *testing.T) {
		var list []struct{ ID int }
		h.read(&list, "proxy", "list")
		for _, p := range list {
			h.hostnat("proxy", "delete", fmt.Sprint(p.ID))
		}
		if after := rulesAndRoutes(t, h.Host); after != before {
			t.Errorf("rules and routes before:\n%safter:\n%s", before, after)
		}
	})
}

// rulesAndRoutes is what `ip` shows of the way back for transparent connections.
func rulesAndRoutes(t *testing.T, n *lab.Namespace) string {
	t.Helper()
	return output(t, n.Command(t.Context(), "ip", "-4", "rule", "show")) +
		output(t, n.Command(t.Context(), "ip", "-4", "route", "show", "table", "all", "type", "local"))
}
