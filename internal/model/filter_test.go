package model

import (
	"net/netip"
	"testing"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	s := Session{
		NAT: "default", Network: "web", Endpoint: "c1", Protocol: TCP, State: StateEstablished,
		Internal: netip.MustParseAddrPort("172.16.1.2:40000"), External: netip.MustParseAddrPort("192.168.7.5:50000"),
		Remote: netip.MustParseAddrPort("198.51.100.7:443"),
	}
	b := Binding{NAT: s.NAT, Network: s.Network, Endpoint: s.Endpoint, Protocol: s.Protocol, Internal: s.Internal, External: s.External}
	tests := []struct {
		name      string
		f         Filter
		want      bool
		noBinding bool
	}{
		{"all", Filter{}, true, false},
		{"NAT", Filter{NAT: "default"}, true, false},
		{"other NAT", Filter{NAT: "x"}, false, false},
		{"network", Filter{Network: "web", Endpoint: "c1", Protocol: "TCP"}, true, false},
		{"other network", Filter{Network: "lab"}, false, false},
		{"other endpoint", Filter{Endpoint: "c2"}, false, false},
		{"other protocol", Filter{Protocol: "udp"}, false, false},
		{"internal address", Filter{Internal: "172.16.1.2"}, true, false},
		{"internal address and port", Filter{Internal: "172.16.1.2:40000"}, true, false},
		{"internal other port", Filter{Internal: "172.16.1.2:1"}, false, false},
		{"internal port", Filter{Internal: ":40000"}, true, false},
		{"internal prefix", Filter{Internal: "172.16.0.0/12"}, true, false},
		{"internal prefix with host bits", Filter{Internal: "172.16.1.9/24"}, true, false},
		{"external", Filter{External: "192.168.7.5"}, true, false},
		{"other external", Filter{External: "192.168.7.6"}, false, false},
		{"remote", Filter{Remote: "198.51.100.0/24"}, true, true},
		{"other remote", Filter{Remote: ":80"}, false, true},
		{"state", Filter{State: "established"}, true, true},
		{"other state", Filter{State: "none"}, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			match, err := tt.f.Parse()
			if err != nil || match.Session(&s) != tt.want {
				t.Errorf("session: %v, want %v", err, tt.want)
			}
			matchBinding, err := tt.f.Bindings()
			if tt.noBinding {
				refused(t, err, Invalid, "session list")
				return
			}
			if err != nil || matchBinding.Binding(&b) != tt.want {
				t.Errorf("binding: %v, want %v", err, tt.want)
			}
		})
	}
}

func TestFilterRefuses(t *testing.T) {
	t.Parallel()
	for _, f := range []Filter{
		{Protocol: "sctp"}, {State: "open"}, {Internal: "c1"}, {External: "1.2.3.4:0"}, {Remote: "fd00::1"},
		{Remote: "1.2.3.4/33"}, {Internal: ":"}, {Internal: "1.2.3.4:80-90"}, {External: "[::1]:80"},
	} {
		_, err := f.Parse()
		refused(t, err, Invalid)
	}
}
