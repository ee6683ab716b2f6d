package control

import (
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func TestOpenTAP(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{}
	c, _ := start(t, t.TempDir(), k)
	if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "web"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: "clones", Type: "per-endpoint"}); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []TAPSpec{{Network: "web"}, {Bridge: "hn-web"}} {
		before := len(k.applied)
		tap, file, err := c.OpenTAP(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if want := (OpenedTAP{"web", "hntap0"}); tap != want {
			t.Errorf("%+v: %+v, want %+v", spec, tap, want)
		}
		// Everything was applied after it was there and before it was given away.
		if o := k.opened[len(k.opened)-1]; o.network != "web" || o.applied != before || len(k.applied) != before+1 {
			t.Errorf("opened after %d, %d applied in the end, %d before", o.applied, len(k.applied), before)
		}
	}
	for _, spec := range []config.EndpointSpec{{Network: "web", Name: "c1", Netns: "c1"}, {Network: "web", Name: "vm", TAP: "tap7", Make: model.TAP{Made: true}}} {
		if _, err := c.AttachEndpoint(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	tap, file, err := c.OpenTAP(t.Context(), TAPSpec{Endpoint: "vm"})
	if want := (OpenedTAP{"web", "tap7"}); err != nil || tap != want {
		t.Fatalf("an endpoint's: %+v, %v", tap, err)
	}
	file.Close()
	for _, tt := range []struct {
		spec TAPSpec
		code model.Code
	}{
		{TAPSpec{}, model.Invalid}, {TAPSpec{Network: "web", Bridge: "hn-web"}, model.Invalid},
		{TAPSpec{Network: "nope"}, model.NotFound}, {TAPSpec{Bridge: "br0"}, model.NotFound},
		{TAPSpec{Endpoint: "nope"}, model.NotFound}, {TAPSpec{Endpoint: "c1"}, model.Conflict}, {TAPSpec{Endpoint: "vm", Network: "web"}, model.Invalid},
		{TAPSpec{Network: "clones"}, model.Conflict}, {TAPSpec{Bridge: "hn-clones"}, model.NotFound},
	} {
		if _, file, err := c.OpenTAP(t.Context(), tt.spec); model.CodeOf(err) != tt.code || file != nil {
			t.Errorf("%+v: %v, want %s", tt.spec, err, tt.code)
		}
	}
	// What is not made true is not given away.
	k.refuse = func(config.Config) error { return errKernel }
	if _, file, err := c.OpenTAP(t.Context(), TAPSpec{Network: "web"}); err == nil || file != nil {
		t.Fatalf("with a kernel that refuses: %v", err)
	}
	if n, err := k.opened[len(k.opened)-1].other.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("it stays open: %d, %v", n, err)
	}
}
