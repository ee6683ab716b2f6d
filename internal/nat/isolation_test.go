package nat

import (
	"encoding/json"
	"testing"
)

func TestIsolationAsText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Isolation{`"on"`: IsolatedNetwork, `"off"`: NotIsolated, `"endpoint"`: IsolatedEndpoints} {
		var got Isolation
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s is %q, %v", text, got, err)
		}
		if back, err := json.Marshal(got); err != nil || string(back) != text {
			t.Errorf("%q becomes %s, %v", got, back, err)
		}
	}
	for _, text := range []string{"", "ON", "network", "off "} {
		if err := new(Isolation).UnmarshalText([]byte(text)); CodeOf(err) != Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhichNetworksAreOpenToEachOther(t *testing.T) {
	t.Parallel()
	kinds := []Isolation{IsolatedNetwork, NotIsolated, IsolatedEndpoints}
	for _, a := range kinds {
		for _, b := range kinds {
			for _, compartment := range []string{"default", "blue"} {
				want := a == NotIsolated && b == NotIsolated && compartment == "default"
				got := Network{Isolation: a, Compartment: "default"}.IsOpenTo(Network{Isolation: b, Compartment: compartment})
				if got != want {
					t.Errorf("%q and %q of %s: %v", a, b, compartment, got)
				}
			}
		}
	}
}

func TestNetworkWithoutNAT(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	n, err := c.AddNetwork(NetworkSpec{Name: "n", Subnet: "172.20.0.0/24", NAT: NoNAT, Isolation: "off"}, hostFacts(), nil)
	if err != nil || n.HasNAT() || n.Isolation != NotIsolated {
		t.Fatalf("%+v, %v", n, err)
	}
	_, err = c.AddMapping(MappingSpec{Protocol: "tcp", External: "8099", Internal: "172.20.0.2:80", Network: "n"}, nil)
	refused(t, err, Conflict, `"n"`, "no NAT")
	_, err = c.AddNAT(NATSpec{Name: NoNAT})
	refused(t, err, Invalid, NoNAT)
}

func TestSetIsolation(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	for value, want := range map[string]Isolation{"off": NotIsolated, "endpoint": IsolatedEndpoints, "on": IsolatedNetwork} {
		if n, err := c.SetNetwork("web", map[string]string{"isolation": value}); err != nil || n.Isolation != want {
			t.Errorf("%s: %q, %v", value, n.Isolation, err)
		}
	}
	_, err := c.SetNetwork("web", map[string]string{"isolation": "no"})
	refused(t, err, Invalid, "isolation", "no")
}
