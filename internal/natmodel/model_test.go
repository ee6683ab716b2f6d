package natmodel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/internal/model"
)

var (
	inside  = netip.MustParseAddrPort("172.16.1.2:1000")
	outside = netip.MustParseAddrPort("203.0.113.1:2000")
	remote  = netip.MustParseAddrPort("198.51.100.7:80")
	other   = netip.MustParseAddrPort("198.51.100.8:80")
)

func testConfig() Config {
	timeouts, filtering := model.ProfileRFC.Defaults()
	return Config{
		NATs: map[uint32]NAT{1: {
			Timeouts: timeouts, TCPFiltering: filtering, UDPFiltering: filtering,
			Pool: []PoolAddress{{Address: outside.Addr(), Ports: []model.PortRange{{Low: 2000, High: 2001}}}},
		}},
		Networks: map[uint32]Network{1: {
			Compartment: 1, NAT: 1, Subnet: netip.MustParsePrefix("172.16.1.0/24"),
			Gateway: netip.MustParseAddr("172.16.1.1"), GatewayMAC: MAC{2, 0, 0, 0, 0, 1},
		}},
		Endpoints:     []Endpoint{{Network: 1, Address: inside.Addr(), MAC: MAC{2, 0, 0, 0, 0, 2}}},
		HostAddresses: []netip.Addr{outside.Addr()},
		OutsideMAC:    MAC{2, 0, 0, 0, 0, 1},
		MTU:           1500, MaxSessions: 10, MaxBindings: 10,
	}
}

// udp is a datagram with a payload of 4 bytes.
func udp(from, to netip.AddrPort) []byte {
	u := binary.BigEndian.AppendUint16(nil, from.Port())
	u = binary.BigEndian.AppendUint16(u, to.Port())
	u = append(u, 0, 12, 0, 0, 'd', 'a', 't', 'a')
	return ip(model.UDP, from, to, u)
}

func tcp(flags byte, from, to netip.AddrPort) []byte {
	s := binary.BigEndian.AppendUint16(nil, from.Port())
	s = binary.BigEndian.AppendUint16(s, to.Port())
	s = append(s, 0, 0, 0, 0, 0, 0, 0, 0, 5<<4, flags, 16, 0, 0, 0, 0, 0)
	return ip(model.TCP, from, to, s)
}

// ip puts headers before a transport packet, and computes all checksums.
func ip(protocol model.Protocol, from, to netip.AddrPort, payload []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, byte(protocol), 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	b = slices.Concat(b, from.Addr().AsSlice(), to.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^sum(b))
	at := map[model.Protocol]int{model.UDP: 6, model.TCP: 16}[protocol]
	pseudo := []byte{0, byte(protocol), 0, byte(len(payload))}
	check := ^sum(b[12:20], pseudo, payload)
	if protocol == model.UDP && check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(payload[at:], check)
	return slices.Concat([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, b, payload)
}

// hopped is the packet one hop on.
func hopped(frame []byte) []byte {
	p := packet{frame: slices.Clone(frame)}
	p.parseIP()
	p.editIP(func() { p.frame[ethernet+8]-- })
	return p.frame
}

func step(t *testing.T, m *Model, a Arrival, now time.Duration) Result {
	t.Helper()
	r, err := m.Step(a, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func out(frame []byte) Arrival {
	return Arrival{Hook: FromEndpoint, Frame: frame, Choice: Choice{External: outside, FragmentID: 1}}
}

func in(frame []byte) Arrival { return Arrival{Hook: FromOutside, Frame: frame} }

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	m := New(testConfig())
	r := step(t, m, out(udp(inside, remote)), 0)
	if diff := cmp.Diff(hopped(udp(outside, remote)), r.Frame); r.Verdict != Outward || diff != "" {
		t.Errorf("outward: %v %v (-want +got)\n%s", r.Verdict, r.Reason, diff)
	}
	var ids []EventID
	for _, e := range r.Events {
		ids = append(ids, e.ID)
	}
	if diff := cmp.Diff([]EventID{BindingCreate, BindingSessions, SessionCreate}, ids); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
	r = step(t, m, in(udp(remote, outside)), time.Second)
	want := hopped(udp(remote, inside))
	copy(want, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1})
	if diff := cmp.Diff(want, r.Frame); r.Verdict != Inward || diff != "" {
		t.Errorf("inward: %v %v (-want +got)\n%s", r.Verdict, r.Reason, diff)
	}
	if r = step(t, m, in(udp(other, outside)), time.Second); r.Reason != Filtered {
		t.Errorf("from another: %v %v", r.Verdict, r.Reason)
	}
}

// RFC 4787 REQ-5: alive until 300 seconds after the last packet out.
func TestExpiry(t *testing.T) {
	t.Parallel()
	m := New(testConfig())
	step(t, m, out(udp(inside, remote)), 0)
	step(t, m, in(udp(remote, outside)), 200*time.Second) // does not refresh
	m.Advance(300*time.Second - 1)
	if len(m.Sessions()) != 1 || len(m.Bindings()) != 1 {
		t.Errorf("before: %v, %v", m.Sessions(), m.Bindings())
	}
	m.Advance(300 * time.Second)
	if len(m.Sessions()) != 0 || len(m.Bindings()) != 0 {
		t.Errorf("after: %v, %v", m.Sessions(), m.Bindings())
	}
}

// The model says so if the data path chooses what it may not.
func TestWrongChoice(t *testing.T) {
	t.Parallel()
	second := netip.MustParseAddrPort("172.16.1.2:1001")
	for _, tt := range []struct {
		name   string
		choice netip.AddrPort
		wrong  bool
	}{
		{"free", netip.MustParseAddrPort("203.0.113.1:2001"), false},
		{"taken", outside, true}, // RFC 4787 REQ-3
		{"not in the pool", netip.MustParseAddrPort("203.0.113.1:1999"), true},
		{"another address", netip.MustParseAddrPort("203.0.113.2:2001"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := New(testConfig())
			step(t, m, out(udp(inside, remote)), 0)
			a := out(udp(second, remote))
			a.Choice.External = tt.choice
			if _, err := m.Step(a, 0); (err != nil) != tt.wrong {
				t.Errorf("%v", err)
			}
		})
	}
}

// The last port taken: RFC 5508 REQ-8, and the old binding lives on (RFC 6888 REQ-11).
func TestOutOfPorts(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.NATs[1].Pool[0].Ports[0].High = 2000
	m := New(c)
	step(t, m, out(udp(inside, remote)), 0)
	r := step(t, m, Arrival{Hook: FromEndpoint, Frame: udp(netip.MustParseAddrPort("172.16.1.2:1001"), remote)}, 0)
	if r.Verdict != Answered || r.Reason != OutOfPorts || r.Frame[34] != unreachable || r.Frame[35] != 13 {
		t.Errorf("%v %v %x", r.Verdict, r.Reason, r.Frame)
	}
	if len(m.Sessions()) != 1 {
		t.Errorf("sessions %v", m.Sessions())
	}
}

// RFC 3022 section 4.1: adjusting gives what computing anew would.
func TestAdjustEqualsComputing(t *testing.T) {
	t.Parallel()
	address := rapid.Map(rapid.Uint32(), func(v uint32) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, v)))
	})
	end := rapid.Custom(func(t *rapid.T) netip.AddrPort {
		return netip.AddrPortFrom(address.Draw(t, "address"), rapid.Uint16().Draw(t, "port"))
	})
	rapid.Check(t, func(t *rapid.T) {
		from, to, new := end.Draw(t, "from"), end.Draw(t, "to"), end.Draw(t, "new")
		for _, whole := range []func(from, to netip.AddrPort) []byte{
			udp, func(from, to netip.AddrPort) []byte { return tcp(flagSYN, from, to) },
		} {
			p := packet{frame: whole(from, to)}
			p.parseIP()
			p.parseL4()
			p.translate(sourceSide, new)
			if diff := cmp.Diff(hopped(whole(new, to)), p.frame); diff != "" {
				t.Fatalf("(-computed +adjusted)\n%s", diff)
			}
		}
	})
}
