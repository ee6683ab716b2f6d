package model

import (
	"strings"
	"testing"
)

func FuzzHostLabel(f *testing.F) {
	for _, s := range []string{"vm1", "VM1.lab.example", "10.0.0.1", "-x", "localhost", "a\x00b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if label := HostLabel(s); label != "" && (!IsHostLabel(label) || CheckName("endpoint", label) != nil || label != strings.ToLower(label)) {
			t.Errorf("%q becomes %q", s, label)
		}
	})
}

func FuzzAddressRange(f *testing.F) {
	for _, s := range []string{"172.16.1.1", "172.16.1.1-172.16.1.9", "0.0.0.0-255.255.255.255", "1-2", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseAddressRange("range", s)
		if err != nil {
			if CodeOf(err) != Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		back, err := ParseAddressRange("range", r.String())
		if err != nil || back != r || r.Size() < 1 || !r.Contains(r.Low) || r.At(r.Size()-1) != r.High {
			t.Errorf("%q: %v, %v, %v", s, r, back, err)
		}
	})
}
