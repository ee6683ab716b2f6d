package linktest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// What has no ports, or ports that we do not know, does not leave: there would
// be no way back for the answer, and no way to leave unchanged (rule 1).
func TestOtherProtocolsAreRefusedAndCounted(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for i, p := range []model.Protocol{wire.Sctp, wire.Gre, wire.Esp, wire.UdpLite, wire.Dccp, wire.Ipip, 0, 255} {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: p, From: wire.Inside(0, 0), To: wire.Unanswered(7, 0), Payload: make([]byte, 32)})
		r.Dropped(t, "protocol-unsupported", uint64(i+1))
	}
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: []byte("marker")})
	r.AtRemote.Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtRemote.Came(func(p wire.Packet) bool {
		return p.To.Addr() == wire.Unanswered(7, 0).Addr() && p.Protocol != model.UDP
	}); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
	if n := len(r.Sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// From outside they are the host's, untouched (rule 8): it may have a tunnel.
func TestOtherProtocolsFromOutsideReachHost(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	for _, p := range []model.Protocol{wire.Sctp, wire.Gre, wire.Esp, wire.UdpLite, wire.Dccp, 255} {
		var conn net.PacketConn
		wire.Must(t, r.Host.Do(func() (err error) {
			conn, err = net.ListenPacket(fmt.Sprintf("ip4:%d", p), lab.HostAddress)
			return err
		}))
		defer conn.Close()
		wire.Must(t, conn.SetReadDeadline(time.Now().Add(wire.Patience)))
		// Where UDP has its ports there are the mapping's.
		payload := []byte{0x1f, 0x90, 0x1f, 0x90, 0, 12, 0, 0, 'r', 'a', 'w', byte(p)}
		r.FromRemote(t, wire.Segment{Protocol: p, From: netip.AddrPortFrom(wire.RemoteAddress, 0), To: netip.AddrPortFrom(wire.HostAddress, 0), Payload: payload})
		buf := make([]byte, 100)
		n, from, err := conn.ReadFrom(buf)
		if err != nil || string(buf[:n]) != string(payload) || from.String() != lab.RemoteAddress {
			t.Errorf("protocol %d at the host: %q from %v, %v", p, buf[:n], from, err)
		}
	}
	if len(r.Sessions(t)) != 0 || len(r.Drops(t)) != 0 {
		t.Errorf("sessions %+v, drops %v", r.Sessions(t), r.Drops(t))
	}
}

// What is for a group or for the link goes to the network's bridge and no
// further (RFC 1812 sections 5.3.4, 5.3.5 and 5.3.7, RFC 3927 section 2.7).
func TestGroupAndLinkTrafficStaysInside(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.Mute(t, 0)
	var frames [][]byte
	destinations := []string{
		"224.0.0.1", "224.0.0.251", "239.255.255.250", "232.1.2.3", "255.255.255.255", "172.16.1.255",
		"240.0.0.1", "0.0.0.0", "127.0.0.1", "0.1.2.3", "127.255.0.1",
	}
	for _, to := range destinations {
		address := netip.MustParseAddr(to)
		s := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: netip.AddrPortFrom(address, 5353), Payload: []byte("group")}
		frames = append(frames,
			wire.Ethernet(dptest.EndpointMAC(0), "01:00:5e:00:00:fb", wire.EtherIPv4, s.IP()),
			wire.Ethernet(dptest.EndpointMAC(0), "ff:ff:ff:ff:ff:ff", wire.EtherIPv4, s.IP()),
			wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, s.IP()))
	}
	member := wire.Segment{Protocol: wire.Igmp, From: wire.Inside(0, 0), To: netip.MustParseAddrPort("224.0.0.22:0"), Payload: []byte{0x16, 0, 9, 4, 224, 0, 0, 251}}
	frames = append(frames, wire.Ethernet(dptest.EndpointMAC(0), "01:00:5e:00:00:16", wire.EtherIPv4, member.IP()))
	r.Send(t, r.Endpoints[0], "eth0", frames...)
	// The bridge carries both kinds of group frames to the neighbour.
	r.AtEndpoint[1].Await(t, "group frames at the neighbour", 2*len(destinations), wire.Says("group"))
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: []byte("marker")})
	r.AtRemote.Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtRemote.Came(wire.Says("group")); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
	if n := len(r.Sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// A directed broadcast to the outside's own subnet is no unicast either (RFC 2644).
func TestDirectedBroadcastIsNotForwarded(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: netip.MustParseAddrPort("203.0.113.255:9"), Payload: []byte("all")})
	r.Dropped(t, "no-route", 1)
	if got := r.AtRemote.Came(wire.Says("all")); len(got) != 0 || len(r.Sessions(t)) != 0 {
		t.Errorf("went out: %v; sessions %+v", got, r.Sessions(t))
	}
}

// Group frames and group addresses from outside reach no endpoint, though a
// mapping has the port on every address.
func TestGroupTrafficFromOutsideReachesNoEndpoint(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", wire.Inside(0, 80))
	r.Apply(t)
	remote, host := r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink)
	for _, to := range []string{"203.0.113.1", "203.0.113.255", "203.0.113.0", "255.255.255.255", "224.0.0.251", "239.1.1.1", "127.0.0.1", "0.0.0.0", "240.0.0.1"} {
		s := wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: netip.AddrPortFrom(netip.MustParseAddr(to), 8080), Payload: []byte("group")}
		for _, mac := range []model.MAC{"ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", host} {
			if to != "203.0.113.1" || mac != host {
				r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(remote, mac, wire.EtherIPv4, s.IP()))
			}
		}
	}
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(8, 80), To: wire.Published, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "marker", 1, wire.Says("marker"))
	if got := r.AtEndpoint[0].Came(wire.Says("group")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	if n := len(r.Sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// RFC 5508 REQ-11, section 7: of the messages that are no error, an echo request
// alone goes out, and an echo reply alone comes in. What else comes is for the
// host, and reaches no endpoint, whatever identifier it has.
func TestOtherICMPMessagesAreNotTranslated(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.ICMP, From: wire.Inside(0, 77), To: wire.Unanswered(7, 0), Payload: []byte("marker")})
	id := r.External(t, model.ICMP, wire.Inside(0, 77))
	remote, host := r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink)
	types := []byte{0, 4, 5, 9, 10, 13, 14, 15, 16, 17, 18, 40, 42, 43, 255}
	message := func(from, to netip.AddrPort, kind byte) []byte {
		ip := wire.Segment{Protocol: model.ICMP, From: from, To: to, Payload: make([]byte, 28)}.IP()
		icmp := ip[20:]
		icmp[0], icmp[2], icmp[3] = kind, 0, 0
		binary.BigEndian.PutUint16(icmp[4:], max(from.Port(), to.Port()))
		binary.BigEndian.PutUint16(icmp[2:], ^wire.Checksum(0, icmp))
		return ip
	}
	for i, kind := range types {
		r.Send(t, r.Endpoints[0], "eth0", wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, message(wire.Inside(0, 77), wire.Unanswered(7, 0), kind)))
		r.Dropped(t, "no-session", uint64(i+1))
		if kind != 0 { // an echo reply is the answer that the session waits for
			r.Send(t, r.Remote, lab.RemoteLink, wire.Ethernet(remote, host, wire.EtherIPv4, message(wire.Unanswered(7, 0), id, kind)))
		}
	}
	r.FromRemote(t, wire.Segment{Protocol: model.ICMP, Reply: true, From: wire.Unanswered(7, 0), To: id, Payload: []byte("marker")})
	r.AtEndpoint[0].Await(t, "the reply", 1, wire.Is(model.ICMP, netip.AddrPort{}, wire.Inside(0, 77)))
	if n := len(r.AtEndpoint[0].Came(func(p wire.Packet) bool { return p.Protocol == model.ICMP })); n != 1 {
		t.Errorf("%d ICMP messages came in, want the reply alone", n)
	}
	const timestampReply = 14 // the host's own, to the request that came for it
	went := func(p wire.Packet) bool {
		return p.Protocol == model.ICMP && p.Data[34] != 8 && p.Data[34] != timestampReply
	}
	if got := r.AtRemote.Came(went); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
}

// RFC 7126 sections 4.3 and 4.4: source routes.
func TestSourceRoutesAreDropped(t *testing.T) {
	t.Parallel()
	r := dptest.NewMappedRig(t, 1)
	r.Mute(t, 0)
	count := uint64(0)
	for _, options := range [][]byte{
		{131, 7, 4, 198, 51, 100, 7, 0}, {137, 7, 4, 198, 51, 100, 7, 0}, {1, 1, 1, 131, 7, 4, 1, 2, 3, 4, 0, 0}, {7, 7, 4, 0, 0, 0, 0, 131, 7, 4, 1, 2, 3, 4, 0, 0},
	} {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Options: options, Payload: []byte("routed")})
		r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 80), To: wire.Published, Options: options, Payload: []byte("routed")})
		count += 2
		r.Dropped(t, "source-route", count)
	}
	// The numbers inside another option's data are none.
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Options: []byte{68, 8, 9, 0, 131, 137, 131, 137}, Payload: []byte("honest")})
	r.AtRemote.Await(t, "a timestamp option", 1, wire.Says("honest"))
	if got := append(r.AtRemote.Came(wire.Says("routed")), r.AtEndpoint[0].Came(wire.Says("routed"))...); len(got) != 0 {
		t.Errorf("passed: %v", got)
	}
}

// Rule 8: what has no ports is no NAT's, and may be for the host.
func TestOtherProtocolsFromEndpointReachHost(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for _, p := range []model.Protocol{wire.Sctp, wire.Gre, wire.Esp, wire.UdpLite, wire.Dccp} {
		r.FromEndpoint(t, 0, wire.Segment{Protocol: p, From: wire.Inside(0, 0), To: netip.AddrPortFrom(wire.HostAddress, 0), Payload: make([]byte, 20)})
	}
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: []byte("marker")})
	r.AtRemote.Await(t, "marker", 1, wire.Says("marker"))
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}
