package dhcp

import (
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// FuzzAnswer sends anything to the server: it does not crash, and what it
// answers can be read and says who it is.
func FuzzAnswer(f *testing.F) {
	c := card(0x70, named("vm1"), identified(0xff, 1, 2, 3))
	f.Add(c.message(dhcpv4.MessageTypeDiscover))
	f.Add(c.message(dhcpv4.MessageTypeRequest, wants("172.16.1.15"), server("172.16.1.1")))
	f.Add(c.message(dhcpv4.MessageTypeDecline, wants("172.16.1.15")))
	f.Add(c.message(dhcpv4.MessageTypeRelease, has("172.16.1.15")))
	f.Add(c.message(dhcpv4.MessageTypeInform, has("172.16.1.15")))
	f.Add(card(1, dhcpv4.WithGeneric(dhcpv4.OptionFQDN, []byte{4, 0, 0, 200, 'v'})).message(dhcpv4.MessageTypeDiscover))
	f.Add(c.message(dhcpv4.MessageTypeDiscover)[:239])
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, table := webScope(), newTable()
		for range 2 {
			out := Answer(s, table, payload, Sender{Port: 1}, start)
			if out.Reply == nil {
				continue
			}
			back, err := dhcpv4.FromBytes(out.Reply.ToBytes())
			if err != nil {
				t.Fatalf("the reply cannot be read: %v", err)
			}
			if !back.ServerIdentifier().Equal(net.IP{172, 16, 1, 1}) || !out.To.Is4() {
				t.Fatalf("reply to %s from %s", out.To, back.ServerIdentifier())
			}
		}
	})
}

// FuzzFrame reads anything as a frame, and what it builds it can read.
func FuzzFrame(f *testing.F) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	f.Add(buildFrame(mac, mac, broadcast, addr("172.16.1.1"), []byte("payload")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parseFrame(b); err == nil && (len(got.source) != 6 || len(got.payload) > len(b)) {
			t.Fatalf("%+v", got)
		}
		if len(b) > 1400 {
			return
		}
		built := buildFrame(mac, mac, broadcast, addr("172.16.1.1"), b)
		built[ethernetLength+ipLength+3] = serverPort // as if it came from a client
		got, err := parseFrame(built)
		if err != nil || string(got.payload) != string(b) {
			t.Fatalf("%v, %q", err, got.payload)
		}
	})
}
