package model

import (
	"strings"
	"testing"
)

// Each type is known by its name alone, and what it says of itself fits.
func TestNetworkTypes(t *testing.T) {
	t.Parallel()
	seen := make(map[NetworkType]bool)
	for _, n := range networkTypes {
		if n.name == "" || seen[n.name] || n.name.rules().name != n.name {
			t.Errorf("type %q is there twice, or not found", n.name)
		}
		seen[n.name] = true
		if n.hidden {
			if _, _, _, err := ResolveNetworkType(string(n.name), "", ""); CodeOf(err) != Invalid {
				t.Errorf("somebody gets a network of type %s: %v", n.name, err)
			}
			continue
		}
		got, nat, compartment, err := ResolveNetworkType(string(n.name), "", "")
		if err != nil || got != n.name || (nat == NoNAT) != n.name.WithoutNAT() || compartment != n.compartment {
			t.Errorf("%s: %s, NAT %q, compartment %q, %v", n.name, got, nat, compartment, err)
		}
		// What a type comes to is read as the same type again.
		if again, _, _, err := ResolveNetworkType("", nat, compartment); err != nil || again != got {
			t.Errorf("NAT %q and compartment %q are %s, not %s: %v", nat, compartment, again, got, err)
		}
	}
}

func TestResolveNetworkType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, nat, compartment string
		want                    NetworkType
		refused                 string // a part of the refusal; empty: none
	}{
		{"", "", "", TypeNAT, ""},
		{"", "office", "blue", TypeNAT, ""},
		{"", "none", "", TypeInternal, ""},
		{"", "none", "blue", TypeInternal, ""},
		{"", "", "each", TypePerEndpoint, ""},
		{"", "none", "each", TypePerEndpoint, ""},
		{"per-endpoint", "none", "", TypePerEndpoint, ""},
		{"per-endpoint", "", "blue", "", `compartment "blue"`},
		{"internal", "office", "", "", `nat "office"`},
		{"internal", "", "each", "", `compartment "each"`},
		{"nat", "none", "", "", `nat "none"`},
		{"nat", "", "each", "", `compartment "each"`},
		{"overlay", "", "", "", "not known"},
	} {
		got, _, _, err := ResolveNetworkType(tt.asked, tt.nat, tt.compartment)
		if got != tt.want || (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}
