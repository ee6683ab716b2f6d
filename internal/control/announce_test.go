package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
)

// Who changes the configuration, and what comes of it, is an event; what fails is none.
func TestChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	k.changes = nil
	ctx := WithAuthor(t.Context(), "root (pid 4711)")
	if _, err := c.SetNAT(ctx, "default", map[string]string{"udp-timeout": "600"}); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteMapping(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteMapping(t.Context(), 1); err == nil {
		t.Fatal("a mapping was deleted twice")
	}
	for i, protocol := range []string{"tcp", "udp"} {
		spec := config.MappingSpec{Protocol: protocol, External: "8080", Internal: "c1:80"}
		if _, err := c.AddMapping(ctx, spec); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := c.DeleteNetwork(ctx, "web", true); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range k.changes {
		got = append(got, e.Message())
	}
	want := []string{
		"Configuration changed by root (pid 4711): set NAT default: nat default changed: timeouts.udp 300 → 600.",
		"Configuration changed by the daemon: delete mapping 1: mapping tcp *:8080 deleted: internal was c1:80.",
		"Configuration changed by root (pid 4711): add mapping: mapping tcp *:8080 created: internal c1:80.",
		"Configuration changed by root (pid 4711): add mapping: mapping udp *:8080 created: internal c1:80.",
		"Configuration changed by root (pid 4711): delete network web: network web deleted: subnets was 172.16.1.0/24; endpoint c1 deleted: network was web, netns was c1, addresses was 172.16.1.2, mac was 02:68:90:7e:f2:60, ifname was eth0; mapping tcp *:8080 deleted: internal was c1:80; and 1 more.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
