package control

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
)

// TestIdle: an endpoint whose TAP no program has open is idle, and status names it.
func TestIdle(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{}
	c, _ := start(t, t.TempDir(), k)
	if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "web"}); err != nil {
		t.Fatal(err)
	}
	states := func() (text string) {
		list, err := c.Endpoints(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			text += fmt.Sprint(e.Name, " ", e.State, ", ")
		}
		return text
	}
	for _, spec := range []config.EndpointSpec{{Name: "c1", Netns: "c1"}, {Name: "vm1", TAP: "tap1"}, {Name: "vm2", TAP: "tap2"}} {
		spec.Network = "web"
		if _, err := c.AttachEndpoint(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	k.idle = map[string]bool{"tap2": true, "tap9": true}
	if got, want := states(), "c1 up, vm1 up, vm2 idle, "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s, err := c.Status(t.Context())
	if err != nil || !strings.Contains(strings.Join(s.Warnings, "\n"), "no program has the TAP open of: vm2; ") {
		t.Errorf("status warns of %q, %v", s.Warnings, err)
	}
	k.idle = nil
	if s, err := c.Status(t.Context()); err != nil || strings.Contains(strings.Join(s.Warnings, "\n"), "TAP") || states() != "c1 up, vm1 up, vm2 up, " {
		t.Errorf("with all open: %q, %q, %v", s.Warnings, states(), err)
	}
}
