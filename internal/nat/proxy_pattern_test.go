package nat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckPattern(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want, refusal string }{
		{"www.a.example", "www.a.example", ""},
		{"WWW.A.Example.", "www.a.example", ""},
		{"localhost", "localhost", ""},
		{"*", "*", ""},
		{"*.b.example", "*.b.example", ""},
		{"*.B.example.", "*.b.example", ""},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{"_dmarc.example", "_dmarc.example", ""},
		{"192.0.2.1", "192.0.2.1", ""},
		{"::ffff:192.0.2.1", "192.0.2.1", ""},
		{"[2001:DB8::1]", "2001:db8::1", ""},
		{"2001:db8:0::1", "2001:db8::1", ""},
		{"", "", "no name"},
		{"bücher.example", "", "not ASCII"},
		{"a.*.example", "", "none that a client could ask for"},
		{"*b.example", "", "none that a client could ask for"},
		{"**", "", "none that a client could ask for"},
		{"*.*", "", "none that a client could ask for"},
		{"[a.example]", "", "none that a client could ask for"},
		{"*.", "", "none that a client could ask for"},
		{".a.example", "", "not a name"},
		{"a..example", "", "not a name"},
		{"a.example:443", "", "contains ':'"},
		{"a example", "", "contains ' '"},
		{strings.Repeat("a", 64) + ".example", "", "not a name"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got, err := checkPattern(test.in)
			if test.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), test.refusal) {
					t.Errorf("got %q, %v; want a refusal with %q", got, err, test.refusal)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestCheckRoutes(t *testing.T) {
	t.Parallel()
	c1, c2 := hostPortsOf(t, "c1:443"), hostPortsOf(t, "c2:443")
	tests := []struct {
		name    string
		in      []ProxyRoute
		refusal string
	}{
		{"none", nil, "has no routes"},
		{"one", []ProxyRoute{{"a", c1}}, ""},
		{"most specific and least", []ProxyRoute{{"*", c1}, {"*.a", c2}, {"b.a", c1}}, ""},
		{"twice the same", []ProxyRoute{{"a", c1}, {"a", c1}}, "a leads to c1:443 and to c1:443"},
		{"twice the default", []ProxyRoute{{"*", c1}, {"*", c2}}, "* leads to c1:443 and to c2:443"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := checkRoutes(test.in)
			if test.refusal == "" && err != nil || test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)) {
				t.Errorf("got %v, want %q", err, test.refusal)
			}
		})
	}
}

func hostPortsOf(t testing.TB, text string) HostPorts {
	t.Helper()
	h, err := parseHostPorts("connect", text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestServerNames(t *testing.T) {
	t.Parallel()
	routes := []ProxyRoute{
		{"*", hostPortsOf(t, "rest:1")},
		{"*.b.example", hostPortsOf(t, "below-b:1")},
		{"*.c.b.example", hostPortsOf(t, "below-c:1")},
		{"www.c.b.example", hostPortsOf(t, "www:1")},
		{"b.example", hostPortsOf(t, "b:1")},
		{"192.0.2.1", hostPortsOf(t, "v4:1")},
		{"2001:db8::1", hostPortsOf(t, "v6:1")},
	}
	tests := []struct{ name, want string }{
		{"b.example", "b:1"},
		{"B.Example.", "b:1"},
		{"x.b.example", "below-b:1"},
		{"x.y.b.example", "below-b:1"},
		{"c.b.example", "below-b:1"},
		{"x.c.b.example", "below-c:1"},
		{"www.c.b.example", "www:1"},
		{"WWW.C.B.EXAMPLE", "www:1"},
		{"xb.example", "rest:1"},
		{"example", "rest:1"},
		{"", "rest:1"},
		{"*.b.example", "below-b:1"},
		{"192.0.2.1", "v4:1"},
		{"::ffff:192.0.2.1", "v4:1"},
		{"2001:db8:0:0::1", "v6:1"},
		{"2001:db8::2", "rest:1"},
		{"\xff\x00.b.example", "below-b:1"},
	}
	names, strict := NewServerNames(routes), NewServerNames(routes[1:])
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := names.Lookup(test.name); !ok || got.String() != test.want {
				t.Errorf("leads to %s, %v; want %s", got, ok, test.want)
			}
			got, ok := strict.Lookup(test.name)
			if test.want == "rest:1" && ok {
				t.Errorf("without a default it leads to %s", got)
			}
			if test.want != "rest:1" && (!ok || got.String() != test.want) {
				t.Errorf("without a default it leads to %s, %v; want %s", got, ok, test.want)
			}
		})
	}
}

// FuzzServerNames checks, by asking for each pattern in turn, that the most
// specific one is found.
func FuzzServerNames(f *testing.F) {
	f.Add("www.b.example", "*.b.example", "www.b.example")
	f.Add("", "*", "*.a")
	f.Add("::1", "[::1]", "*.1")
	f.Fuzz(func(t *testing.T, name, first, second string) {
		var routes []ProxyRoute
		for i, p := range []string{first, second} {
			if p, err := checkPattern(p); err == nil {
				if again, err := checkPattern(p); err != nil || again != p {
					t.Fatalf("pattern %q becomes %q, %v", p, again, err)
				}
				routes = append(routes, ProxyRoute{p, HostPorts{Host: p, Ports: PortRange{Low: uint16(i + 1), High: uint16(i + 1)}}})
			}
		}
		if checkRoutes(routes) != nil {
			return
		}
		want := ""
		for _, r := range routes {
			if patternHolds(r.Pattern, FoldServerName(name)) && moreSpecific(r.Pattern, want) {
				want = r.Pattern
			}
		}
		if got, ok := NewServerNames(routes).Lookup(name); got.Host != want || ok != (want != "") {
			t.Errorf("%q leads to %q, %v; want %q", name, got.Host, ok, want)
		}
	})
}

func patternHolds(pattern, name string) bool {
	if above, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(name, above)
	}
	return pattern == name
}

func moreSpecific(p, q string) bool {
	exact := func(s string) bool { return s != "" && !strings.HasPrefix(s, "*") }
	if exact(p) != exact(q) {
		return exact(p)
	}
	return len(p) > len(q)
}

func TestFoldServerName(t *testing.T) {
	t.Parallel()
	tests := map[string]string{"A.b": "a.b", "a.b.": "a.b", "": "", ".": "", "Ä.example": "Ä.example", "1.2.3.04": "1.2.3.04", "a..": "a."}
	for in, want := range tests {
		if diff := cmp.Diff(want, FoldServerName(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}
