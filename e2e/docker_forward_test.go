//go:build e2e

package e2e

import (
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestDockerBehindForwardDrop: with br_netfilter and the policy that Docker sets, frames
// between two ports of a bridge are dropped. Those of containers go past it.
func TestDockerBehindForwardDrop(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "iptables")
	h := startHost(t, 0)
	d := followedDocker(t, h)
	if err := h.Host.Sysctl("net/bridge/bridge-nf-call-iptables", "1"); err != nil {
		missing(t, "%v: this kernel has no br_netfilter", err)
	}
	output(t, h.Host.Command(t.Context(), "iptables", "-P", "FORWARD", "DROP"))

	// The firewall does work: two machines on a bridge of somebody's.
	a, b := h.machine("a", "p-a", "02:00:00:00:00:a1"), h.machine("b", "p-b", "02:00:00:00:00:b1")
	if err := h.Host.AddBridge("plain", "p-a", "p-b"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Host.DeleteLink("plain"); err != nil {
			t.Error(err)
		}
	})
	for n, address := range map[*lab.Namespace]string{a: "10.9.9.1/24", b: "10.9.9.2/24"} {
		if err := n.AddAddress("eth0", address); err != nil {
			t.Fatal(err)
		}
		if err := n.SetUp("eth0"); err != nil {
			t.Fatal(err)
		}
	}
	ping := func() error { return a.Command(t.Context(), "ping", "-q", "-c", "1", "-W", "1", "10.9.9.2").Run() }
	if ping() == nil {
		t.Error("frames between ports of another bridge are not dropped: this shows nothing")
	}

	d.serve("c1", "--publish", "8080:80")
	d.serve("c2")
	d.docker("network", "create", "project")
	d.serve("c3", "--network", "project")
	d.serve("c4", "--network", "project")
	h.waitForDocker([]string{"c1", "c2", "c3", "c4"}, []string{"tcp 0.0.0.0:8080"})
	for _, pair := range [][2]string{{"c1", "http://c2/page"}, {"c2", "http://c1/page"}, {"c3", "http://c4/page"}, {"c4", "http://c3/page"}} {
		if got := d.fetch(pair[0], pair[1]); got != "container" {
			t.Errorf("in %s the page %s is %q", pair[0], pair[1], got)
		}
	}
	h.wantContainersPage()
	d.docker("rm", "--force", "c1", "c2", "c3", "c4")
	d.docker("network", "rm", "project")
	h.waitForDocker(nil, nil)

	output(t, h.Host.Command(t.Context(), "iptables", "-P", "FORWARD", "ACCEPT"))
	if err := ping(); err != nil {
		t.Errorf("nor are they carried without the policy: %v", err)
	}
}
