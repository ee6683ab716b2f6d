//go:build e2e

package e2e

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

const (
	outsideURL   = "http://" + lab.RemoteAddress
	publishedURL = "http://" + lab.HostAddress + ":8080"
)

// TestCurlAndNginx moves pages and 100 MB files between curl and nginx in all
// four directions: who connects, and which way the data goes.
func TestCurlAndNginx(t *testing.T) {
	for _, offloads := range []bool{true, false} {
		name := map[bool]string{true: "offloads on", false: "offloads off"}[offloads]
		t.Run(name, func(t *testing.T) { testWeb(t, offloads) })
	}
}

func testWeb(t *testing.T, offloads bool) {
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 1)
	inside, outside := h.Endpoints[0], h.Remote
	address := h.attach("c1", "--netns", inside.Name).Addresses[0]
	h.publish("8080", "c1:80")
	setOffloads(t, h, offloads)
	insideWeb, outsideWeb := startNginx(t, inside, "inside"), startNginx(t, outside, "outside")
	checks := []*checksums{verify(t, inside, "eth0"), verify(t, outside, lab.RemoteLink)}

	if got := curl(t, outside, publishedURL+"/page"); got != "inside" {
		t.Errorf("published page is %q", got)
	}
	insideWeb.expectRequest(lab.RemoteAddress + " GET /page 200")
	if got := curl(t, inside, outsideURL+"/page"); got != "outside" {
		t.Errorf("outside page is %q", got)
	}
	outsideWeb.expectRequest(lab.HostAddress + " GET /page 200")

	bulk(t, "outbound", inside, outsideURL, outsideWeb)
	bulk(t, "published", outside, publishedURL, insideWeb)
	for _, c := range checks {
		c.finish()
	}
	checkBulkSessions(h, address)
}

// bulk downloads 100 MB from a server, and uploads them again.
func bulk(t *testing.T, name string, client *lab.Namespace, url string, server *web) {
	t.Helper()
	_, want := server.writeBig("big")
	copied := filepath.Join(t.TempDir(), "big")
	curl(t, client, "-o", copied, url+"/big")
	if got := fileSum(t, copied); got != want {
		t.Errorf("%s download has SHA-256 %s, want %s", name, got, want)
	}
	curl(t, client, "-T", copied, url+"/uploaded")
	if got := server.sum("uploaded"); got != want {
		t.Errorf("%s upload has SHA-256 %s, want %s", name, got, want)
	}
}

// checkBulkSessions looks for the transfers in the session table.
func checkBulkSessions(h *host, address netip.Addr) {
	h.t.Helper()
	host, remote := netip.MustParseAddr(lab.HostAddress), netip.MustParseAddr(lab.RemoteAddress)
	var outbound, published api.Session // the largest of each
	for _, s := range h.sessions("--endpoint", "c1", "--protocol", "tcp") {
		switch {
		case s.Remote == netip.AddrPortFrom(remote, 80) && s.BytesIn > outbound.BytesIn:
			outbound = s
		case s.Internal == netip.AddrPortFrom(address, 80) && s.External == netip.AddrPortFrom(host, 8080) && s.BytesOut > published.BytesOut:
			published = s
		}
	}
	if outbound.BytesIn < bigSize || outbound.Internal.Addr() != address || outbound.External.Addr() != host {
		h.t.Errorf("no session of the outbound download: %+v", outbound)
	}
	if published.BytesOut < bigSize || published.Remote.Addr() != remote {
		h.t.Errorf("no session of the published download: %+v", published)
	}
}

// curl runs curl in a namespace and returns what it prints.
func curl(t *testing.T, n *lab.Namespace, args ...string) string {
	t.Helper()
	argv := append([]string{"curl", "-sS", "--fail", "--noproxy", "*", "--connect-timeout", "5", "--max-time", "60"}, args...)
	return output(t, n.Command(t.Context(), argv...))
}

// tryCurl is curl for what need not work yet: empty if it does not.
func tryCurl(n *lab.Namespace, url string) string {
	out, _ := n.Command(context.Background(), "curl", "-sS", "--fail", "--noproxy", "*", "--connect-timeout", "5", "--max-time", "60", url).Output()
	return string(out)
}

func setOffloads(t *testing.T, h *host, on bool) {
	t.Helper()
	for _, n := range []*lab.Namespace{h.Host, h.Remote, h.Endpoints[0]} {
		links, err := n.Links()
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			if link == "lo" {
				continue
			}
			if err := n.SetOffloads(link, on); err != nil {
				t.Fatal(err)
			}
		}
	}
}
