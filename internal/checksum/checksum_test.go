package checksum

import (
	"encoding/binary"
	"testing"
)

// TestSum: the example of RFC 1071 section 3, with and without its last octet.
func TestSum(t *testing.T) {
	t.Parallel()
	example := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	for _, tt := range []struct {
		start uint32
		b     []byte
		want  uint16
	}{{0, example, 0xddf2}, {1, example, 0xddf3}, {0, example[:7], 0xdcfb}, {0x1ffff, nil, 1}, {0, nil, 0}} {
		if got := Sum(tt.start, tt.b); got != tt.want {
			t.Errorf("begun with %#x, of %x: %#x, want %#x", tt.start, tt.b, got, tt.want)
		}
	}
}

// TestReplace: what is brought up to date is as if it had been computed anew.
func TestReplace(t *testing.T) {
	t.Parallel()
	header := []byte{0x45, 0, 0, 28, 0x12, 0x34, 0x40, 0, 64, 17, 0, 0, 172, 16, 1, 2, 203, 0, 113, 2}
	before := ^Sum(0, header)
	binary.BigEndian.PutUint16(header[4:], 0xfedc)
	if got, want := Replace(before, 0x1234, 0xfedc), ^Sum(0, header); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}
