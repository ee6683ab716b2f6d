package model

import (
	"net/netip"
	"strings"
	"testing"
)

// lines are texts that parsers have got wrong elsewhere.
var lines = []string{
	"", ":", "/", "-", "*", "*:", "*:80", "80", "0", "65536", "80abc", "080", "+80", "1-2", "2-1", "-", "1-",
	"172.16.1.0/24", "172.016.1.0/24", "1.2.3.4", "1.2.3.4:80", "1.2.3.4:1-2", "1.2.3.4/0", "1.2.3.4/032", "0.0.0.0/0",
	"c1:80", "c1", "c1:80,c2:80", "c1:80-89,c2:80-89", "c1:80,c1:80", ",", "90-99", "*:90-99", "1.2.3.4:99-90", "::1", "[::1]:80", "::ffff:1.2.3.4", "fe80::1%eth0", "fe80::1%a\nb", "1.2.3.4\n", "c1:80\x00", strings.Repeat("9", 400),
}

func addLines(f *testing.F) {
	for _, s := range lines {
		f.Add(s)
	}
}

func FuzzParseSubnet(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseSubnet(s)
		if err != nil {
			refused(t, err, Invalid)
			return
		}
		if p != p.Masked() || !p.Addr().Is4() || p.Bits() < 1 || p.Bits() > 30 || !p.Contains(LastAddress(p)) || p.Contains(LastAddress(p).Next()) {
			t.Errorf("%q gives %v to %v", s, p, LastAddress(p))
		}
		if again, err := ParseSubnet(p.String()); err != nil || again != p {
			t.Errorf("%q gives %v, which gives %v, %v", s, p, again, err)
		}
	})
}

func FuzzParseRemotes(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseRemotes(s)
		if err != nil {
			refused(t, err, Invalid)
		} else if !p.IsValid() || p != p.Masked() || !p.Addr().Is4() {
			t.Errorf("%q gives %v", s, p)
		}
	})
}

func FuzzParsePortRange(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParsePortRange("external", s)
		if err != nil {
			refused(t, err, Invalid)
			return
		}
		if again, err := ParsePortRange("external", r.String()); err != nil || again != r || r.Low == 0 || r.Low > r.High || !r.Contains(r.High) {
			t.Errorf("%q gives %v, which gives %v, %v", s, r, again, err)
		}
	})
}

func FuzzParseExternalAddress(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseExternalAddress(s)
		if err != nil {
			refused(t, err, Invalid)
		} else if !a.Address.Is4() || a.Address.IsUnspecified() || a.Ports.Low == 0 || a.Ports.Low > a.Ports.High {
			t.Errorf("%q gives %v", s, a)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range lines {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, address, protocol, state string) {
		match, err := Filter{Internal: address, External: address, Remote: address, Protocol: protocol, State: state}.Parse()
		if err != nil {
			refused(t, err, Invalid)
			return
		}
		match.Session(&Session{Internal: netip.MustParseAddrPort("1.2.3.4:80")})
	})
}

func FuzzCheckName(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, s string) {
		if err := CheckName("network", s); err != nil {
			refused(t, err, Invalid)
		} else if len(s) > MaxName || strings.ContainsAny(s, "/: \n\x00") {
			t.Errorf("%q is taken for a name", s)
		}
	})
}

func FuzzAddrPorts(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, s string) {
		var a, again AddrPorts
		if err := a.UnmarshalText([]byte(s)); err != nil {
			refused(t, err, Invalid)
			return
		}
		if err := again.UnmarshalText([]byte(a.String())); err != nil || again != a || !a.IsAddressOnly() && a.Ports.Low == 0 || a.Count() < 1 {
			t.Errorf("%q gives %v, which gives %v, %v", s, a, again, err)
		}
	})
}
