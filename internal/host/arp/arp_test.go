package arp

import (
	"net"
	"net/netip"
	"testing"
)

func TestClaims(t *testing.T) {
	t.Parallel()
	own, other := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	asked, elsewhere, none := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("192.0.2.8"), netip.IPv4Unspecified()
	const reply = 2
	for name, tt := range map[string]struct {
		message message
		want    bool
	}{
		"answer":                {message{reply, other, own, asked, none}, true},
		"its user asks around":  {message{opRequest, other, own, asked, elsewhere}, true},
		"another's probe":       {message{opRequest, other, make(net.HardwareAddr, 6), none, asked}, true},
		"our own probe":         {message{opRequest, own, make(net.HardwareAddr, 6), none, asked}, false},
		"somebody looks for it": {message{opRequest, other, make(net.HardwareAddr, 6), elsewhere, asked}, false},
		"something else":        {message{reply, other, own, elsewhere, asked}, false},
	} {
		m, ok := parse(append(tt.message.marshal(), 0, 0)) // padded to the least frame
		if got := ok && m.claims(asked, own); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message{opRequest, net.HardwareAddr{2, 0, 0, 0, 0, 1}, make(net.HardwareAddr, 6), netip.IPv4Unspecified(), netip.MustParseAddr("192.0.2.9")}.marshal())
	f.Add([]byte{})
	f.Add(make([]byte, size-1))
	f.Add(make([]byte, size))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parse(b)
		if ok && string(m.marshal()) != string(b[:size]) {
			t.Errorf("%x is read as %+v", b, m)
		}
	})
}
