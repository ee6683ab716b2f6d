package model

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func hostPortsOf(t testing.TB, text string) HostPorts {
	t.Helper()
	h, err := ParseHostPorts("connect", text)
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

func TestFoldServerName(t *testing.T) {
	t.Parallel()
	tests := map[string]string{"A.b": "a.b", "a.b.": "a.b", "": "", ".": "", "Ä.example": "Ä.example", "1.2.3.04": "1.2.3.04", "a..": "a."}
	for in, want := range tests {
		if diff := cmp.Diff(want, FoldServerName(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}
