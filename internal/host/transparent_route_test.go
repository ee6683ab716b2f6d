package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hostnat/hostnat/internal/host/hosttest"
)

// TestTransparentRoute looks at what `ip` shows of the rule and the route.
func TestTransparentRoute(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	ipOn(t, n, "rule", "add", "priority", "104", "fwmark", "7", "lookup", "99") // somebody else's
	ruled := func() (lines string) {
		for line := range strings.Lines(ipOn(t, n, "rule", "show") + ipOn(t, n, "route", "show", "table", "all")) {
			if strings.Contains(line, "fwmark") || strings.Contains(line, "1749963864") {
				lines += strings.Join(strings.Fields(line), " ") + "\n"
			}
		}
		return lines
	}
	const foreign = "104: from all fwmark 0x7 lookup 99\n"
	const loopback = 1
	hosttest.Must(t, n.AddBridge("hn-web"))
	for range 2 { // the second time nothing changes
		hosttest.On(t, n, func() error {
			return errors.Join(AddRoute(TransparentRoute(loopback)), AddRule(TransparentRule("hn-web")))
		})
		want := foreign + "104: from all fwmark 0x684e5458 iif hn-web lookup 1749963864 proto 104\n" +
			"local default dev lo table 1749963864 proto 104 scope host\n"
		if diff := cmp.Diff(want, ruled()); diff != "" {
			t.Errorf("made (-want +got):\n%s", diff)
		}
	}
	hosttest.On(t, n, func() error { return DeleteRouting(t.Context()) })
	if diff := cmp.Diff(foreign, ruled()); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
}
