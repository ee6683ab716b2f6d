package nat

import (
	"net/netip"
	"testing"
)

func TestFreePort(t *testing.T) {
	t.Parallel()
	u := InUse{
		Mappings: []Mapping{
			{Protocol: TCP, External: netip.MustParseAddrPort("0.0.0.0:2000")},
			{Protocol: UDP, External: netip.MustParseAddrPort("0.0.0.0:2001")},
			{Protocol: TCP, External: netip.MustParseAddrPort("192.0.2.1:2002")},
		},
		Bindings: []Binding{
			{Protocol: TCP, External: netip.MustParseAddrPort("192.0.2.1:2003")},
			{Protocol: TCP, External: netip.MustParseAddrPort("192.0.2.2:2004")},
		},
		Listeners: []Listener{
			{Protocol: TCP, Address: netip.MustParseAddrPort("[::]:2005")},
			{Protocol: TCP, Address: netip.MustParseAddrPort("127.0.0.1:2006")},
		},
	}
	tests := []struct {
		name, at string
		protocol Protocol
		free     []uint16
	}{
		{"anywhere", "0.0.0.0", TCP, []uint16{2001, 2008}},
		{"one address", "192.0.2.1", TCP, []uint16{2001, 2004, 2006, 2008}},
		{"another address", "192.0.2.9", TCP, []uint16{2001, 2002, 2003, 2004, 2006, 2008}},
		{"another protocol", "0.0.0.0", UDP, []uint16{2000, 2002, 2003, 2004, 2005, 2006, 2008}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at := netip.MustParseAddr(tt.at)
			for i, want := range tt.free {
				port, ok := u.FreePort(tt.protocol, at, []PortRange{{2000, 2006}, {2008, 2008}}, func(n int) int {
					if n != len(tt.free) {
						t.Errorf("%d are free, want %v", n, tt.free)
					}
					return i
				})
				if port != want || !ok {
					t.Errorf("got %d, %v, want %d", port, ok, want)
				}
			}
		})
	}
	for _, ranges := range [][]PortRange{nil, {{2005, 2005}}, {{2002, 2003}, {2005, 2005}}} {
		if port, ok := u.FreePort(TCP, netip.MustParseAddr("192.0.2.1"), ranges, nil); ok {
			t.Errorf("%v: got %d, want none", ranges, port)
		}
	}
	if port, ok := (InUse{}).FreePort(UDP, netip.IPv4Unspecified(), []PortRange{{65535, 65535}}, func(int) int { return 0 }); port != 65535 || !ok {
		t.Errorf("the last port of all: got %d, %v", port, ok)
	}
}
