package linktest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// discover is what a DHCP client sends first, as far as the data path looks.
func discover(mac model.MAC, from netip.Addr) []byte {
	return wire.Ethernet(mac, "ff:ff:ff:ff:ff:ff", wire.EtherIPv4, wire.Segment{
		Protocol: model.UDP, From: netip.AddrPortFrom(from, 68), To: netip.MustParseAddrPort("255.255.255.255:67"), Payload: make([]byte, 244),
	}.IP())
}

// Of what a machine sends to DHCP servers a thousand messages a second go on, up the bridge and
// to its neighbours too: from a plugged-in port and from an attached endpoint, with an address
// and without. Another machine's are its own. What is no DHCP is not counted.
func TestDHCPIsRationedAtEachPort(t *testing.T) {
	t.Parallel()
	const flood, most = 3000, 1000
	for _, tt := range []struct {
		name    string
		sender  int
		mac     model.MAC
		from    netip.Addr
		guarded bool
	}{
		{"a plugged-in machine without address", 1, attacker, netip.IPv4Unspecified(), true},
		{"a plugged-in machine with an address", 1, attacker, unmanaged.Addr(), true},
		{"port-security=off", 1, attacker, netip.IPv4Unspecified(), false},
		{"an attached endpoint without address", 0, dptest.EndpointMAC(0), netip.IPv4Unspecified(), true},
		{"an attached endpoint with its address", 0, dptest.EndpointMAC(0), wire.EndpointAddress(0), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newSwitchRig(t, tt.guarded)
			bridge := wire.Watch(t, r.Host, "br1")
			from := func(mac model.MAC) func(wire.Packet) bool {
				return func(p wire.Packet) bool {
					return p.Ether == wire.EtherIPv4 && string(p.Data[6:12]) == string(wire.Hardware(mac))
				}
			}
			begin := time.Now()
			for range flood {
				r.Send(t, r.Endpoints[tt.sender], "eth0", discover(tt.mac, tt.from))
			}
			seconds := int(time.Since(begin)/time.Second) + 1
			var dropped, came int
			wire.Eventually(t, "all of the flood", func() bool {
				dropped, came = int(r.Drops(t)["dhcp-flood"]), len(bridge.Came(from(tt.mac)))
				return dropped+came == flood
			})
			if came > most*seconds || came < most {
				t.Errorf("%d of %d went on within %d seconds, %d were dropped", came, flood, seconds, dropped)
			}
			r.Send(t, r.Endpoints[2], "eth0", discover(neighbour, netip.IPv4Unspecified()))
			bridge.Await(t, "another machine's message", 1, from(neighbour))
			r.Send(t, r.Endpoints[2], "eth0", discover(neighbour, netip.IPv4Unspecified()))
			wire.Eventually(t, "a message of the next second", func() bool {
				r.Send(t, r.Endpoints[tt.sender], "eth0", discover(tt.mac, tt.from))
				return len(bridge.Came(from(tt.mac))) > came
			})
		})
	}
}
