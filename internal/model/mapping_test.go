package model

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMappingJSON(t *testing.T) {
	t.Parallel()
	want := Mapping{ID: 3, NAT: "default", Protocol: TCP, External: ports("0.0.0.0:80-81"), From: []netip.Prefix{},
		Targets: []Target{{Endpoint: "c1", Network: "web", Internal: ports("172.16.1.2:80-81")}, {Network: "web", Internal: ports("172.16.1.3:90-91")}}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	single := want
	single.External, single.Targets = ports("0.0.0.0:80"), []Target{{Endpoint: "c1", Network: "web", Internal: ports("0.0.0.0:80")}}
	for text, want := range map[string]Mapping{
		string(text): want,
		// As stored before there were ranges and several targets.
		`{"id":3,"nat":"default","network":"web","protocol":"tcp","external":"0.0.0.0:80","internal":"0.0.0.0:80","endpoint":"c1","from":[]}`: single,
	} {
		var got Mapping
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, compareNetip); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, bad := range []string{`[]`, `{"internal":"c1:80"}`, `{"targets":[{"internal":""}]}`, `{"external":"80"}`} {
		if err := json.Unmarshal([]byte(bad), new(Mapping)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

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
