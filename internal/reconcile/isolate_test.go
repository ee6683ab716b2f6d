package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

func TestIsolation(t *testing.T) {
	t.Parallel()
	c := testConfig()
	links := append(testLinks(), host.Link{Index: 9, Name: "vnet0", MasterIndex: 4}, host.Link{Index: 10, Name: "tap2", MasterIndex: 7})
	c.Endpoints = append(c.Endpoints, model.Endpoint{Name: "other", Network: "lan", Kind: model.KindTAP, Interface: "tap2"})
	want := func(web, lan bool) map[int]bool { return map[int]bool{5: web, 6: web, 9: web, 10: lan} } // tap1 is its owner's
	if diff := cmp.Diff(want(false, false), isolation(c, links)); diff != "" {
		t.Errorf("as it is (-want +got):\n%s", diff)
	}
	c.Networks[0].Isolation, c.Networks[1].Isolation = model.IsolatedEndpoints, model.IsolatedEndpoints
	if diff := cmp.Diff(want(true, true), isolation(c, links)); diff != "" {
		t.Errorf("kept apart (-want +got):\n%s", diff)
	}
	c.Networks[0].Isolation = model.NotIsolated
	if diff := cmp.Diff(want(false, true), isolation(c, links)); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
}
