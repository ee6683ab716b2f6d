package nat

import (
	"strings"
	"testing"
)

func TestNetworkDomain(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 94) + "b"
	tests := []struct {
		text, want string
		bad        string // in the refusal
	}{
		{"", "web.internal", ""},
		{"Lab.Example.", "lab.example", ""},
		{"internal", "internal", ""},
		{"x_y.home.arpa", "x_y.home.arpa", ""},
		{long, long, ""},
		{"a." + long, "", "longer than 189 bytes"},
		{".", "web.internal", ""},
		{"a..b", "", `label ""`},
		{"-a.b", "", `label "-a"`},
		{"a b", "", `label "a b"`},
		{"ä.example", "", "label"},
		{"192.0.2.1", "", "looks like an address"},
		{"x.local", "", "a meaning of its own"},
		{"localhost", "", "a meaning of its own"},
		{"10.in-addr.arpa", "", "a meaning of its own"},
	}
	for _, tt := range tests {
		c := testConfig(t)
		got, err := c.SetNetwork("web", map[string]string{"domain": tt.text, "dns": "off"})
		if tt.bad != "" {
			if CodeOf(err) != Invalid || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%q: got %v, want %q", tt.text, err, tt.bad)
			}
			if n, _ := c.Network("web"); !n.DNS.On() {
				t.Errorf("%q: a refusal changes something", tt.text)
			}
			continue
		}
		if err != nil || got.DomainName() != tt.want || got.DNS.On() {
			t.Errorf("%q: got %+v, %v", tt.text, got, err)
		}
	}
	if d := (Network{Name: "Web"}).DomainName(); d != "web.internal" {
		t.Errorf("a network that was stored without a domain has %q", d)
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	attach := func(name string, aliases ...string) (Endpoint, error) {
		return c.AddEndpoint(EndpointSpec{Network: "web", Name: name, Netns: name, Aliases: aliases}, hostFacts(), lowest)
	}
	steps := []struct {
		name    string
		aliases []string
		want    string // aliases, or a part of the refusal
	}{
		{"a1", []string{"WWW", "db.eu", "www"}, "db.eu www"},
		{"a2", []string{"www"}, "www"},                         // of both
		{"a1", nil, "db.eu www"},                               // again
		{"a1", []string{"a2"}, `"a2" is the name of endpoint`}, // refused as a whole
		{"a1", []string{"api"}, "api"},
		{"API", nil, `"API" is an alias of endpoint "a1"`},
		{"a3", []string{"a..b"}, "cannot be a name in DNS"},
		{"a3", []string{"-a"}, "starts with"},
		{"a3", []string{"a3"}, "a3"},
	}
	for _, step := range steps {
		got, err := attach(step.name, step.aliases...)
		switch text := strings.Join(got.Aliases, " "); {
		case err != nil && !strings.Contains(err.Error(), step.want), err == nil && text != step.want:
			t.Errorf("%s %v: got %q, %v; want %q", step.name, step.aliases, text, err, step.want)
		}
	}
	if e, _ := c.Endpoint("a1"); strings.Join(e.Aliases, " ") != "api" {
		t.Errorf("stored %v", e.Aliases)
	}
	copied := c.Clone()
	copied.Endpoints[len(copied.Endpoints)-1].Aliases[0] = "changed"
	if e, _ := c.Endpoint("a3"); e.Aliases[0] != "a3" {
		t.Error("a clone shares aliases")
	}
}
