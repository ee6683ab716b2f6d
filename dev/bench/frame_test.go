package bench

import (
	"net"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	e := envelope{
		from: net.HardwareAddr{2, 0, 0, 0, 0, 1}, to: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		source: netip.MustParseAddr("172.16.1.2"), target: netip.MustParseAddr("203.0.113.2"),
	}
	tests := []struct {
		name   string
		packet []byte
		size   int
	}{
		{"single", e.udp(20000, 7000), 60}, // and 4 bytes of check sequence
		{"burst", e.burst(20000, 7000, 64), 42 + 64*18},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			frame := test.packet[vnetHeader:]
			if len(frame) != test.size {
				t.Errorf("%d bytes, want %d", len(frame), test.size)
			}
			if err := lab.VerifyChecksums(lab.Packet{Data: frame, Pending: true}); err != nil {
				t.Error(err)
			}
		})
	}
}
