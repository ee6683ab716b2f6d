package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/model"
)

// TestGuestsNames: whom the host knows by a name has that, whatever others call
// themselves, and since when.
func TestGuestsNames(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	now := time.Now()
	lease := func(a, mac, hostname string, since int) model.Lease {
		return model.Lease{Network: "web", Address: netip.MustParseAddr(a), MAC: model.MAC(mac), Hostname: hostname, State: model.LeaseBound, Since: now.Add(time.Duration(since) * time.Second), Expires: now.Add(time.Hour)}
	}
	const vm, thief, plain, quiet = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03", "52:54:00:00:00:04"
	c.Guests = map[model.MAC]string{vm: "vm", quiet: "quiet", "52:54:00:00:00:09": "elsewhere"}
	c.SetObserved([]model.Neighbour{
		{Bridge: "hn-web", Address: netip.MustParseAddr("172.16.1.60"), MAC: quiet}, {Bridge: "hn-web", Address: netip.MustParseAddr("172.16.1.61"), MAC: quiet},
	})
	c.SetLeases([]model.Lease{
		lease("172.16.1.50", thief, "vm", -100), lease("172.16.1.51", vm, "calls-itself", 0), lease("172.16.1.52", plain, "plain", 0),
	}, now)
	got := make(map[string]string)
	for _, e := range c.Discovered {
		got[e.Address4().String()] = e.Name
	}
	want := map[string]string{
		"172.16.1.50": "vm-000002", "172.16.1.51": "vm", "172.16.1.52": "plain",
		"172.16.1.60": "quiet", "172.16.1.61": "ip-172-16-1-61",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	// Without that knowledge each is called as it calls itself.
	c.Guests = nil
	c.SetLeases(c.Leases, now)
	for _, e := range c.Discovered {
		if e.MAC == vm && e.Name != "calls-itself" || e.MAC == thief && e.Name != "vm" {
			t.Errorf("%s is called %s", e.MAC, e.Name)
		}
	}
}
