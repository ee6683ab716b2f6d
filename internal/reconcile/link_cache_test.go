package reconcile

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host"
)

// linkCacheRig is a link cache of a namespace with the links a and b, and of ours hn-x.
type linkCacheRig struct {
	t *testing.T
	n *lab.Namespace
	m *linkCache
}

func newLinkCacheRig(t *testing.T) *linkCacheRig {
	t.Helper()
	lab.RequireRoot(t)
	n, err := lab.NewNamespace("linkcache")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	r := &linkCacheRig{t: t, n: n}
	r.must(lab.Veth(n, "a", n, "b"), n.AddAddress("a", "192.0.2.1/24"), n.AddBridge("hn-x"), n.SetAlias("hn-x", host.Owner))
	r.on(func() error {
		w, err := host.NewWatcher()
		r.m = newLinkCache(w)
		return err
	})
	t.Cleanup(func() { r.m.watcher.Close() })
	r.told()
	return r
}

func (r *linkCacheRig) must(errs ...error) {
	r.t.Helper()
	for _, err := range errs {
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *linkCacheRig) on(fn func() error) {
	r.t.Helper()
	r.must(r.n.Do(fn))
}

// told has everything told as it is now.
func (r *linkCacheRig) told() {
	r.t.Helper()
	r.on(func() error {
		r.m.begin()
		links, err := r.m.reload(context.Background())
		r.m.tell(links)
		return err
	})
}

func (r *linkCacheRig) drifted() (drifted bool) {
	r.t.Helper()
	r.on(func() (err error) {
		drifted, err = r.m.drifted(context.Background())
		return err
	})
	return drifted
}

func TestLinkCacheTellsWhatDrifts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(n *lab.Namespace) error
		want bool
	}{
		{"nothing", func(*lab.Namespace) error { return nil }, false},
		{"address of a link", func(n *lab.Namespace) error { return n.AddAddress("b", "192.0.2.9/24") }, true},
		{"address of our link", func(n *lab.Namespace) error { return n.AddAddress("hn-x", "10.0.0.1/24") }, true},
		{"link set down", func(n *lab.Namespace) error { return n.SetDown("a") }, true},
		{"link renamed", func(n *lab.Namespace) error { return n.Rename("b", "c") }, true},
		{"link deleted", func(n *lab.Namespace) error { return n.DeleteLink("hn-x") }, true},
		{"link made", func(n *lab.Namespace) error { return n.AddTAP("tap0") }, true},
		{"port", func(n *lab.Namespace) error { return n.Enslave("b", "hn-x") }, true},
		{"route by a link", func(n *lab.Namespace) error { return n.AddRoute("10.8.0.0/16", "192.0.2.2") }, true},
		{"made and unmade", func(n *lab.Namespace) error {
			if err := n.AddAddress("hn-x", "10.0.0.1/24"); err != nil {
				return err
			}
			return n.DeleteAddress("hn-x", "10.0.0.1/24")
		}, false},
		{"settings of a link that has none of ours", func(n *lab.Namespace) error { return n.Sysctl("net/ipv4/conf/hn-x/forwarding", "1") }, false},
		{"ends of a link that wait to be moved", func(n *lab.Namespace) error { return n.AddWaiting("v1", "v2") }, false},
		{"one of them as a port", func(n *lab.Namespace) error {
			return errors.Join(n.AddWaiting("v1", "v2"), n.Enslave("v1", "hn-x"))
		}, true},
		{"one of them with an address", func(n *lab.Namespace) error {
			return errors.Join(n.AddWaiting("v1", "v2"), n.AddAddress("v2", "192.0.2.9/24"))
		}, true},
		{"settings of all", func(n *lab.Namespace) error { return n.Sysctl("net/ipv4/ip_forward", "1") }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newLinkCacheRig(t)
			r.must(test.do(r.n))
			if got := r.drifted(); got != test.want {
				t.Errorf("drifted %v, want %v", got, test.want)
			}
			r.told()
			if r.drifted() {
				t.Error("drifted after everything was told")
			}
		})
	}
}

// A link that waits to be moved counts if the configuration names it, and where others'
// links lead does not.
func TestLinkCacheOfWaitingLinks(t *testing.T) {
	t.Parallel()
	r := newLinkCacheRig(t)
	r.m.use(nil, map[string]bool{"v1": true})
	r.must(r.n.AddWaiting("v1", "v2"))
	if !r.drifted() {
		t.Error("a link that the configuration names has come unnoticed")
	}
	r.m.use(nil, nil)
	r.must(r.n.Enslave("v1", "hn-x"))
	r.told()
	away, err := lab.NewNamespace("away")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { away.Close() })
	r.must(r.n.MoveTo("v2", away))
	if r.drifted() {
		t.Error("a container's end of a link was moved into it: that is a drift")
	}
}

// What was made, and told of, is no drift, whatever else has drifted.
func TestLinkCacheExpectsWhatWasTold(t *testing.T) {
	t.Parallel()
	r := newLinkCacheRig(t)
	r.must(r.n.AddTAP("tap0"), r.n.AddAddress("tap0", "10.0.0.1/24"), r.n.SetAlias("tap0", host.Owner))
	tell := func(names ...string) {
		r.on(func() error {
			links, err := r.m.find(context.Background(), names)
			r.m.tellOf(links, nil)
			return err
		})
	}
	tell("tap0")
	if r.drifted() {
		t.Error("drifted after the new link was told")
	}
	r.must(r.n.SetDown("a"), r.n.AddAddress("tap0", "10.0.1.1/24"))
	tell("tap0")
	if !r.drifted() {
		t.Error("another link's change was taken for ours")
	}
	select {
	case <-r.m.watcher.Ticks():
	default:
		t.Error("the announcement of another link's change was taken, and nobody is told")
	}
}

// The host's facts are gathered anew when the host has changed, and not for links
// of ours.
func TestLinkCacheKeepsFacts(t *testing.T) {
	t.Parallel()
	r := newLinkCacheRig(t)
	addresses := func() (list []string) {
		r.on(func() error {
			facts, err := r.m.hostFacts(context.Background())
			for _, a := range facts.Addresses {
				list = append(list, a.Address.String())
			}
			return err
		})
		return list
	}
	if got := addresses(); !slices.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("addresses %v", got)
	}
	kept := r.m.facts
	r.must(r.n.AddAddress("hn-x", "10.0.0.1/24"))
	if addresses(); r.m.facts != kept {
		t.Error("gathered anew for an address of ours")
	}
	r.must(r.n.AddAddress("b", "192.0.2.9/24"))
	if got := addresses(); !slices.Equal(got, []string{"192.0.2.9", "192.0.2.1"}) && !slices.Equal(got, []string{"192.0.2.1", "192.0.2.9"}) {
		t.Errorf("addresses %v after another was added", got)
	}
}
