package lab

import (
	"encoding/hex"
	"strings"
	"testing"
)

// etherUDP is a UDP datagram "hi" 192.0.2.1:1000 → 192.0.2.2:53 with right
// checksums.
const etherUDP = "ffffffffffff0200000000010800" +
	"4500001e000100004011f6ca" + "c0000201c0000202" +
	"03e80035000aUUUU6869"

func udpFrame(checksum string) []byte {
	b, err := hex.DecodeString(strings.Replace(etherUDP, "UUUU", checksum, 1))
	if err != nil {
		panic(err)
	}
	ip := b[14:34]
	ip[10], ip[11] = 0, 0
	c := ^sum(ip, 0)
	ip[10], ip[11] = byte(c>>8), byte(c)
	return b
}

func TestVerifyChecksums(t *testing.T) {
	t.Parallel()
	full := udpFrame("0000")
	p, err := parseIPv4(full[14:])
	if err != nil {
		t.Fatal(err)
	}
	pseudo := p.pseudo()
	right := ^sum(p.payload, pseudo)
	badHeader := udpFrame("0000")
	badHeader[14+8]--
	tests := []struct {
		name    string
		packet  Packet
		wantErr string
	}{
		{"right", Packet{Data: udpFrame(hex16(right))}, ""},
		{"none", Packet{Data: udpFrame("0000")}, ""},
		{"wrong", Packet{Data: udpFrame(hex16(right + 1))}, "UDP checksum is wrong"},
		{"pending", Packet{Data: udpFrame(hex16(pseudo)), Pending: true}, ""},
		{"pending wrong", Packet{Data: udpFrame(hex16(pseudo + 1)), Pending: true}, "left to the device"},
		{"header", Packet{Data: badHeader}, "IPv4 header checksum"},
		{"short", Packet{Data: full[:30]}, "truncated"},
		{"cut", Packet{Data: full[:40]}, "truncated"},
		{"ARP", Packet{Data: []byte("aaaaaabbbbbb\x08\x06")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := VerifyChecksums(tt.packet)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func hex16(v uint16) string { return hex.EncodeToString([]byte{byte(v >> 8), byte(v)}) }
