package model

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestLinkNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want string }{
		{"web", "hn-web"},
		{"exactly-twel", "hn-exactly-twel"},
		{"exactly-twelv", "hn-exa-lfmelcwd"},
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
	seen := make(map[string]bool)
	for i := range 20_000 {
		seen[EndpointLink(fmt.Sprintf("k8s-pod-%032d", i))] = true
	}
	if len(seen) != 20_000 {
		t.Errorf("20,000 long names that begin alike have %d link names", len(seen))
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

// Names as Docker and CNI make them: an id of 64 digits, and one with the name of
// an interface behind it; nothing longer than a file's name.
func TestLongNames(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0123456789abcdef", 4)
	for _, name := range []string{id, id + "-eth0", strings.Repeat("x", MaxName)} {
		if err := CheckName("endpoint", name); err != nil {
			t.Error(err)
		}
		if err := CheckHostName("host", name[:min(len(name), 253)]); err != nil {
			t.Error(err)
		}
		domain := Network{Name: name}.OwnDomain()
		for label := range strings.SplitSeq(domain, ".") {
			if !IsHostLabel(label) {
				t.Errorf("network %s has the domain %s", name, domain)
			}
		}
	}
	if CodeOf(CheckName("endpoint", strings.Repeat("x", MaxName+1))) != Invalid {
		t.Error("a name may be as long as anything")
	}
	for _, name := range []string{"web", "web.lab", "a_b"} {
		if got, want := (Network{Name: name}).OwnDomain(), name+".internal"; got != want {
			t.Errorf("domain %s, want %s", got, want)
		}
	}
	if a, b := (Network{Name: "web-"}).OwnDomain(), (Network{Name: "web--"}).OwnDomain(); a == b {
		t.Errorf("two networks have the domain %s", a)
	}
}
