package model

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMappingPresent(t *testing.T) {
	t.Parallel()
	at := func(endpoint, internal string) Target {
		to := Target{Endpoint: endpoint, Network: "web"}
		if err := to.Internal.UnmarshalText([]byte(internal)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	c1, c2, bare := at("c1", "172.16.1.2:80"), at("c2", "172.16.1.3:80"), at("", "172.16.1.4:80")
	for _, tt := range []struct {
		name          string
		targets, want []Target
		absent        []string
	}{
		{"all there", []Target{c1, c2}, []Target{c1, c2}, nil},
		{"one gone", []Target{c1, c2}, []Target{c2}, []string{"c1"}},
		{"all gone", []Target{c1, c2}, []Target{c1, c2}, []string{"c1", "c2"}},
		{"an address is always there", []Target{c1, bare}, []Target{bare}, []string{"c1", ""}},
		{"the only one", []Target{c1}, []Target{c1}, []string{"c1"}},
	} {
		absent := make(map[string]error)
		for _, name := range tt.absent {
			absent[name] = Errorf(NotFound, "gone")
		}
		got := Mapping{Targets: tt.targets}.Present(absent).Targets
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b Target) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
