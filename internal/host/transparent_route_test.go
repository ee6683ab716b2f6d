package host

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ruled returns what `ip` shows of rules and routes beyond a new namespace's.
func ruled(t *testing.T, run func(context.Context, ...string) string) (rules, routes string) {
	t.Helper()
	for line := range strings.Lines(run(t.Context(), "ip", "-4", "rule", "show")) {
		if strings.Contains(line, "fwmark") || strings.Contains(line, "lookup 99") {
			rules += strings.Join(strings.Fields(line), " ") + "\n"
		}
	}
	all := run(t.Context(), "ip", "-4", "route", "show", "table", "all")
	for line := range strings.Lines(all) {
		if strings.Contains(line, "1749963864") {
			routes += strings.Join(strings.Fields(line), " ") + "\n"
		}
	}
	return rules, routes
}

func TestSetTransparentRoute(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	run := func(ctx context.Context, argv ...string) string {
		t.Helper()
		out, err := n.Command(ctx, argv...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
		return string(out)
	}
	run(t.Context(), "ip", "rule", "add", "priority", "104", "fwmark", "7", "lookup", "99") // somebody else's
	const (
		foreign = "104: from all fwmark 0x7 lookup 99\n"
		web     = "104: from all fwmark 0x684e5458 iif hn-web lookup 1749963864 proto 104\n"
		route   = "local default dev lo table 1749963864 proto 104 scope host\n"
	)
	must(t, n.AddBridge("hn-web"))
	steps := []struct {
		name          string
		links         []string
		rules, routes string
	}{
		{"none", nil, foreign, ""},
		{"one", []string{"hn-web"}, foreign + web, route},
		{"the same again", []string{"hn-web"}, foreign + web, route},
		{"one that is not there", []string{"hn-db"}, foreign + strings.Replace(web, "hn-web lookup", "hn-db [detached] lookup", 1), route},
		{"back", []string{"hn-web"}, foreign + web, route},
		{"none again", nil, foreign, ""},
		{"none twice", nil, foreign, ""},
	}
	for _, s := range steps {
		set := func() error { return SetTransparentRoute(t.Context(), s.links) }
		on(t, n, set)
		rules, routes := ruled(t, run)
		if diff := cmp.Diff(s.rules, rules); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", s.name, diff)
		}
		if diff := cmp.Diff(s.routes, routes); diff != "" {
			t.Errorf("%s: routes (-want +got):\n%s", s.name, diff)
		}
		wantQuiet(t, n, set)
	}
}
