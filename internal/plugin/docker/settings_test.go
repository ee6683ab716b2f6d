package docker

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
)

func settings(t *testing.T, text string) Settings {
	t.Helper()
	s, err := ParseSettings([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var half = Subnet{Prefix: netip.MustParsePrefix("172.20.0.0/24"), Part: netip.MustParsePrefix("172.20.0.128/25")}

const mergedText = `{
  "log-level": "warn",
  "iptables": false,
  "bridge": "hn-docker",
  "fixed-cidr": "172.20.0.128/25",
  "ip6tables": false,
  "ip-forward": false,
  "ip-masq": false,
  "userland-proxy": false
}
`

func TestSettings(t *testing.T) {
	t.Parallel()
	before := settings(t, `{"log-level": "warn", "bip": "10.0.0.1/24", "iptables": true}`)
	wanted := SettingsFor("hn-docker", half)
	after := before.Merge(wanted)
	if diff := cmp.Diff(mergedText, string(after.Text())); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if !after.Has(wanted) || before.Has(wanted) {
		t.Errorf("has: after %v, before %v", after.Has(wanted), before.Has(wanted))
	}
	if again := after.Merge(wanted).Diff(after); again != "" {
		t.Errorf("merged twice it differs:\n%s", again)
	}
	if diff := after.Unmerge(wanted, before).Diff(before); diff != "" {
		t.Errorf("taken out again it is not as before:\n%s", diff)
	}
	// What somebody has changed since is his.
	edited := after.Merge(settings(t, `{"iptables": true, "debug": true}`)).Unmerge(wanted, before)
	if want := `+ "debug": true` + "\n"; before.Diff(edited) != want {
		t.Errorf("after edits and taking out the difference is\n%swant\n%s", before.Diff(edited), want)
	}
}

func TestSettingsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"[]", "{", `{"a": }`, `{"a": 1`, "x"} {
		if s, err := ParseSettings([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
	if s := settings(t, " \n"); len(s) > 0 {
		t.Errorf("an empty file has %v", s)
	}
}

func TestSubnetOf(t *testing.T) {
	t.Parallel()
	tests := []struct{ subnet, part, addresses string }{
		{"172.20.0.0/24", "172.20.0.128/25", "172.20.0.128-172.20.0.254"},
		{"10.0.0.0/15", "10.1.0.0/16", "10.1.0.0-10.1.255.254"},
		{"192.168.1.16/28", "192.168.1.24/29", "192.168.1.24-192.168.1.30"},
		{"192.168.1.16/29", "", ""},
	}
	for _, tt := range tests {
		p := netip.MustParsePrefix(tt.subnet)
		s, err := SubnetOf(api.Network{Name: "n", Subnets: []netip.Prefix{p}, Gateways: []netip.Addr{p.Addr().Next()}})
		if tt.part == "" {
			if err == nil {
				t.Errorf("%s is shared: %v", tt.subnet, s)
			}
			continue
		}
		if err != nil || s.Part.String() != tt.part || s.Range() != tt.addresses {
			t.Errorf("%s: %v, %s, %v; want %s, %s", tt.subnet, s.Part, s.Range(), err, tt.part, tt.addresses)
		}
	}
}

func TestResolvConf(t *testing.T) {
	t.Parallel()
	got := string(resolvConf([]byte("# from the host\nnameserver 9.9.9.9\nsearch lan\noptions edns0\n"), "172.20.0.1", "docker.internal"))
	if want := "nameserver 172.20.0.1\nsearch docker.internal\noptions edns0\n"; got != want {
		t.Errorf("resolv.conf is %q, want %q", got, want)
	}
}
