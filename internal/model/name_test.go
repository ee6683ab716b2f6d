package model

import (
	"net/netip"
	"strings"
	"testing"
)

func TestLinkNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want string }{
		{"web", "hn-web"},
		{"exactly-twel", "hn-exactly-twel"},
		{"exactly-twelv", "hn-exact-595845"},
		{"a.b_c", "hn-a.b_c"},
	}
	for _, tt := range tests {
		if got := BridgeName(tt.name); got != tt.want {
			t.Errorf("BridgeName(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := EndpointLink("c1"); got != "hv-c1" {
		t.Errorf("EndpointLink: %q", got)
	}
	if EndpointLink("container-number-1") == EndpointLink("container-number-2") {
		t.Error("two long names have one link name")
	}
}

func FuzzLinkNames(f *testing.F) {
	for _, s := range []string{"web", "", "a/b", "über", "a b", strings.Repeat("x", 63), "%s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, link := range []string{BridgeName(name), EndpointLink(name)} {
			if err := CheckLink("link", link); err != nil {
				t.Errorf("%q gives %q: %v", name, link, err)
			}
		}
	})
}

func TestDeriveMAC(t *testing.T) {
	t.Parallel()
	seen := map[MAC]netip.Addr{}
	a := netip.MustParseAddr("172.16.0.1")
	for range 4096 {
		m := DeriveMAC(2, a)
		if parsed, err := ParseMAC(string(m)); err != nil || parsed != m || !strings.HasPrefix(string(m), "02:68:") {
			t.Fatalf("%s for %s: %v", m, a, err)
		}
		if other, twice := seen[m]; twice {
			t.Fatalf("%s and %s both have %s", a, other, m)
		}
		seen[m] = a
		a = a.Next()
	}
	if DeriveMAC(2, a) == DeriveMAC(3, a) {
		t.Error("two compartments give one address the same MAC")
	}
}

func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"02:42:ac:10:01:02", "0242.ac10.0102", "02-42-ac-10-01-02", "ff:ff:ff:ff:ff:ff", "", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			refused(t, err, Invalid)
			return
		}
		if again, err := ParseMAC(string(m)); err != nil || again != m {
			t.Errorf("%q gives %q, which gives %q, %v", s, m, again, err)
		}
	})
}
