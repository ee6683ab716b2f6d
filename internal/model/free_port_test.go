package model

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFreePorts(t *testing.T) {
	t.Parallel()
	u := InUse{
		Mappings: []Mapping{
			{Protocol: TCP, External: ports("0.0.0.0:2000")},
			{Protocol: UDP, External: ports("0.0.0.0:2001")},
			{Protocol: TCP, External: ports("192.0.2.1:2002")},
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
				port, ok := u.FreePorts(tt.protocol, at, []PortRange{{2000, 2006}, {2008, 2008}}, 1, func(n int) int {
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
		if port, ok := u.FreePorts(TCP, netip.MustParseAddr("192.0.2.1"), ranges, 1, nil); ok {
			t.Errorf("%v: got %d, want none", ranges, port)
		}
	}
	if port, ok := (InUse{}).FreePorts(UDP, netip.IPv4Unspecified(), []PortRange{{65535, 65535}}, 1, func(int) int { return 0 }); port != 65535 || !ok {
		t.Errorf("the last port of all: got %d, %v", port, ok)
	}
}

// A row crosses from one range into the next only if they touch, and holds
// nothing that is taken, a mapping's range included.
func TestFreePortsInARow(t *testing.T) {
	t.Parallel()
	u := InUse{Mappings: []Mapping{{Protocol: TCP, External: ports("0.0.0.0:2010-2019")}}}
	ranges := []PortRange{{2000, 2003}, {2004, 2012}, {2018, 2024}, {2030, 2031}, {65533, 65535}}
	for count, want := range map[int][]uint16{
		1: {2000, 2001, 2002, 2003, 2004, 2005, 2006, 2007, 2008, 2009, 2020, 2021, 2022, 2023, 2024, 2030, 2031, 65533, 65534, 65535},
		3: {2000, 2001, 2002, 2003, 2004, 2005, 2006, 2007, 2020, 2021, 2022, 65533}, 8: {2000, 2001, 2002}, 10: {2000}, 11: nil, 65535: nil,
	} {
		var got []uint16
		for i := range max(len(want), 1) {
			low, ok := u.FreePorts(TCP, netip.IPv4Unspecified(), ranges, count, func(n int) int {
				if n != len(want) {
					t.Errorf("%d in a row: %d choices, want %d", count, n, len(want))
				}
				return i
			})
			if ok {
				got = append(got, low)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d in a row (-want +got):\n%s", count, diff)
		}
	}
}
