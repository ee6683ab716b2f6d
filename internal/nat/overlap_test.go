package nat

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClashes(t *testing.T) {
	t.Parallel()
	at := func(prefix, source string) HostPrefix { return HostPrefix{netip.MustParsePrefix(prefix), source} }
	tests := []struct {
		name string
		host []HostPrefix
		want []string
	}{
		{"as it was", hostFacts().Prefixes, nil},
		{"the same LAN", []HostPrefix{at("172.16.1.0/24", "address of wlan0")}, []string{
			"network web (172.16.1.0/24) overlaps 172.16.1.0/24 of the host (address of wlan0)",
			"network blue (172.16.1.0/24) overlaps 172.16.1.0/24 of the host (address of wlan0)"}},
		{"a larger VPN", []HostPrefix{at("10.0.0.0/13", "route via tun0")}, []string{
			"network lab (10.1.0.0/24) overlaps 10.0.0.0/13 of the host (route via tun0)"}},
		{"one address inside", []HostPrefix{at("10.1.0.77/32", "route via tun0")}, []string{
			"network lab (10.1.0.0/24) overlaps 10.1.0.77/32 of the host (route via tun0)"}},
		{"a default route", []HostPrefix{at("0.0.0.0/0", "route via tun0"), at("0.0.0.0/1", "route via tun0")}, nil},
		{"an adopted bridge's own", []HostPrefix{at("10.9.0.0/16", "address of br0")}, nil},
		{"the same by another link", []HostPrefix{at("10.9.0.0/16", "address of xbr0")}, []string{
			"network own (10.9.0.0/16) overlaps 10.9.0.0/16 of the host (address of xbr0)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			c.Networks = append(c.Networks, Network{Name: "own", Bridge: "br0", Adopted: true, Subnet: netip.MustParsePrefix("10.9.0.0/16")})
			var got []string
			for _, clash := range c.Clashes(HostFacts{Prefixes: tt.host}) {
				got = append(got, clash.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOverlapText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Overlap{`{"overlap":"keep"}`: Keep, `{"overlap":"renumber"}`: Renumber, `{}`: Keep} {
		var n Network
		if err := json.Unmarshal([]byte(text), &n); err != nil || n.Overlap != want {
			t.Errorf("%s: %v, %v", text, n.Overlap, err)
		}
		out, err := json.Marshal(n)
		var back Network
		if err == nil {
			err = json.Unmarshal(out, &back)
		}
		if err != nil || back.Overlap != want {
			t.Errorf("%s became %s, %v", text, out, err)
		}
	}
	var o Overlap
	refused(t, o.UnmarshalText([]byte("move")), Invalid, "move", "renumber")
}

func TestSetNetwork(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	n, err := c.SetNetwork("web", map[string]string{"overlap": "renumber"})
	if err != nil || n.Overlap != Renumber {
		t.Fatalf("%+v, %v", n, err)
	}
	before := c.Clone()
	for _, tt := range []struct {
		network  string
		values   map[string]string
		code     Code
		mentions string
	}{
		{"nope", map[string]string{"overlap": "keep"}, NotFound, "nope"},
		{"web", nil, Invalid, "overlap"},
		{"web", map[string]string{"overlap": "x"}, Invalid, "overlap: "},
		{"web", map[string]string{"overlap": "keep", "nope": "1"}, Invalid, "nope"},
	} {
		_, err := c.SetNetwork(tt.network, tt.values)
		refused(t, err, tt.code, tt.mentions)
		unchanged(t, before, c)
	}
}
