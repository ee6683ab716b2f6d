package test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestForeignChanges has somebody else break what is ours, in ways that netlink
// tells of and in ways that it does not, while the daemon runs: it is fixed, or
// said in status, and whole again once the cause is gone.
func TestForeignChanges(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.inside, "tcp", ":80")
	works := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, out := lab.Ask(ctx, h.inside, "tcp", outside)
		_, in := lab.Ask(ctx, h.Remote, "tcp", published)
		_, own := lab.Ask(ctx, h.Host, "tcp", "127.0.0.1:8080")
		links, err := h.Host.Links()
		return out == nil && in == nil && own == nil && len(h.status().Problems) == 0 && err == nil &&
			slices.Contains(links, "hn-web") && slices.Contains(links, h.linkOf("c1")) &&
			!slices.ContainsFunc(links, func(l string) bool { return strings.HasPrefix(l, "theirs") })
	}
	h.waitFor(20*time.Second, "a whole beginning", works)
	for name, change := range map[string]func() error{
		"programs of links detached":              func() error { return h.detach("[0-9]*") },
		"programs of the host's sockets detached": func() error { return h.detach("host-*") },
		"the bridge renamed":                      func() error { return h.Host.Rename("hn-web", "theirs") },
		"the bridge deleted":                      func() error { return h.Host.DeleteLink("hn-web") },
		"an endpoint's link renamed": func() error {
			return h.Host.Rename(h.linkOf("c1"), "theirs2")
		},
	} {
		if err := change(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		began := time.Now()
		h.waitFor(30*time.Second, name+": fixed", works)
		t.Logf("%s: fixed within %v", name, time.Since(began).Round(time.Millisecond))
	}

	// No address outside: nothing can be done but to say so.
	h.must(h.Host.DeleteAddress(lab.HostLink, lab.HostAddress+lab.OutsideBits))
	h.waitFor(5*time.Second, "a problem in status", func() bool {
		return slices.ContainsFunc(h.status().Problems, func(p string) bool { return strings.Contains(p, "no outside interface has an IPv4 address") })
	})
	h.must(h.Host.AddAddress(lab.HostLink, lab.HostAddress+lab.OutsideBits), h.Host.AddRoute("0.0.0.0/0", lab.RemoteAddress))
	h.waitFor(10*time.Second, "the address to be used again", works)
}

// detach takes programs off, as `bpftool link detach` does: their pins stay.
func (h *host) detach(pattern string) error {
	pins, err := filepath.Glob(filepath.Join(h.dir, "run", "bpf", "links", pattern))
	if err != nil {
		return err
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			return err
		}
		if err := l.Detach(); err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

func (h *host) linkOf(endpoint string) string {
	h.t.Helper()
	e, err := h.Endpoint(h.t.Context(), endpoint)
	if err != nil {
		h.t.Fatal(err)
	}
	return e.Interface
}
