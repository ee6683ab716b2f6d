package datapath

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Protocols that a NAT with ports cannot carry.
const (
	igmp    = model.Protocol(2)
	ipip    = model.Protocol(4)
	dccp    = model.Protocol(33)
	gre     = model.Protocol(47)
	esp     = model.Protocol(50)
	sctp    = model.Protocol(132)
	udpLite = model.Protocol(136)
)

// What has no ports, or ports that we do not know, does not leave: there would
// be no way back for the answer, and no way to leave unchanged (rule 1).
func TestOtherProtocolsAreRefusedAndCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, p := range []model.Protocol{sctp, gre, esp, udpLite, dccp, ipip, 0, 255} {
		r.fromEndpoint(t, 0, segment{protocol: p, from: inside(0, 0), to: stranger(7, 0), payload: make([]byte, 32)})
		r.dropped(t, "protocol-unsupported", uint64(i+1))
	}
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80), payload: []byte("marker")})
	r.atRemote.await(t, "marker", 1, says("marker"))
	if got := r.atRemote.came(func(p packet) bool { return p.to.Addr() == stranger(7, 0).Addr() && p.protocol != model.UDP }); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
	if n := len(r.sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// From outside they are the host's, untouched (rule 8): it may have a tunnel.
func TestOtherProtocolsFromOutsideReachHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	for _, p := range []model.Protocol{sctp, gre, esp, udpLite, dccp, 255} {
		var conn net.PacketConn
		must(t, r.Host.Do(func() (err error) {
			conn, err = net.ListenPacket(fmt.Sprintf("ip4:%d", p), lab.HostAddress)
			return err
		}))
		defer conn.Close()
		must(t, conn.SetReadDeadline(time.Now().Add(patience)))
		// Where UDP has its ports there are the mapping's.
		payload := []byte{0x1f, 0x90, 0x1f, 0x90, 0, 12, 0, 0, 'r', 'a', 'w', byte(p)}
		r.fromRemote(t, segment{protocol: p, from: netip.AddrPortFrom(remoteAddress, 0), to: netip.AddrPortFrom(hostAddress, 0), payload: payload})
		buf := make([]byte, 100)
		n, from, err := conn.ReadFrom(buf)
		if err != nil || string(buf[:n]) != string(payload) || from.String() != lab.RemoteAddress {
			t.Errorf("protocol %d at the host: %q from %v, %v", p, buf[:n], from, err)
		}
	}
	if len(r.sessions(t)) != 0 || len(r.drops(t)) != 0 {
		t.Errorf("sessions %+v, drops %v", r.sessions(t), r.drops(t))
	}
}

// What is for a group or for the link goes to the network's bridge and no
// further (RFC 1812 sections 5.3.4, 5.3.5 and 5.3.7, RFC 3927 section 2.7).
func TestGroupAndLinkTrafficStaysInside(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.mute(t, 0)
	var frames [][]byte
	destinations := []string{
		"224.0.0.1", "224.0.0.251", "239.255.255.250", "232.1.2.3", "255.255.255.255", "172.16.1.255", "169.254.7.7",
		"240.0.0.1", "0.0.0.0", "127.0.0.1", "0.1.2.3", "127.255.0.1",
	}
	for _, to := range destinations {
		address := netip.MustParseAddr(to)
		s := segment{protocol: model.UDP, from: inside(0, 4000), to: netip.AddrPortFrom(address, 5353), payload: []byte("group")}
		frames = append(frames,
			ethernet(endpointMAC(0), "01:00:5e:00:00:fb", etherIPv4, s.ip()),
			ethernet(endpointMAC(0), "ff:ff:ff:ff:ff:ff", etherIPv4, s.ip()),
			ethernet(endpointMAC(0), gatewayMAC, etherIPv4, s.ip()))
	}
	member := segment{protocol: igmp, from: inside(0, 0), to: netip.MustParseAddrPort("224.0.0.22:0"), payload: []byte{0x16, 0, 9, 4, 224, 0, 0, 251}}
	frames = append(frames, ethernet(endpointMAC(0), "01:00:5e:00:00:16", etherIPv4, member.ip()))
	r.send(t, r.Endpoints[0], "eth0", frames...)
	// The bridge carries both kinds of group frames to the neighbour.
	r.atEndpoint[1].await(t, "group frames at the neighbour", 2*len(destinations), says("group"))
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80), payload: []byte("marker")})
	r.atRemote.await(t, "marker", 1, says("marker"))
	if got := r.atRemote.came(says("group")); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
	if n := len(r.sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// A directed broadcast to the outside's own subnet is no unicast either (RFC 2644).
func TestDirectedBroadcastIsNotForwarded(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: netip.MustParseAddrPort("203.0.113.255:9"), payload: []byte("all")})
	r.dropped(t, "no-route", 1)
	if got := r.atRemote.came(says("all")); len(got) != 0 || len(r.sessions(t)) != 0 {
		t.Errorf("went out: %v; sessions %+v", got, r.sessions(t))
	}
}

// Group frames and group addresses from outside reach no endpoint, though a
// mapping has the port on every address.
func TestGroupTrafficFromOutsideReachesNoEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	remote, host := r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink)
	for _, to := range []string{"203.0.113.1", "203.0.113.255", "203.0.113.0", "255.255.255.255", "224.0.0.251", "239.1.1.1", "127.0.0.1", "0.0.0.0", "240.0.0.1"} {
		s := segment{protocol: model.UDP, from: stranger(7, 80), to: netip.AddrPortFrom(netip.MustParseAddr(to), 8080), payload: []byte("group")}
		for _, mac := range []model.MAC{"ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", host} {
			if to != "203.0.113.1" || mac != host {
				r.send(t, r.Remote, lab.RemoteLink, ethernet(remote, mac, etherIPv4, s.ip()))
			}
		}
	}
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(8, 80), to: published, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
	if got := r.atEndpoint[0].came(says("group")); len(got) != 0 {
		t.Errorf("came in: %v", got)
	}
	if n := len(r.sessions(t)); n != 1 {
		t.Errorf("%d sessions, want the marker's", n)
	}
}

// RFC 5508 REQ-11, section 7: of the messages that are no error, an echo request
// alone goes out, and an echo reply alone comes in. What else comes is for the
// host, and reaches no endpoint, whatever identifier it has.
func TestOtherICMPMessagesAreNotTranslated(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	r.fromEndpoint(t, 0, segment{protocol: model.ICMP, from: inside(0, 77), to: stranger(7, 0), payload: []byte("marker")})
	id := r.external(t, model.ICMP, inside(0, 77))
	remote, host := r.macOf(t, r.Remote, lab.RemoteLink), r.macOf(t, r.Host, lab.HostLink)
	types := []byte{0, 4, 5, 9, 10, 13, 14, 15, 16, 17, 18, 40, 42, 43, 255}
	message := func(from, to netip.AddrPort, kind byte) []byte {
		ip := segment{protocol: model.ICMP, from: from, to: to, payload: make([]byte, 28)}.ip()
		icmp := ip[20:]
		icmp[0], icmp[2], icmp[3] = kind, 0, 0
		binary.BigEndian.PutUint16(icmp[4:], max(from.Port(), to.Port()))
		binary.BigEndian.PutUint16(icmp[2:], ^checksum(0, icmp))
		return ip
	}
	for i, kind := range types {
		r.send(t, r.Endpoints[0], "eth0", ethernet(endpointMAC(0), gatewayMAC, etherIPv4, message(inside(0, 77), stranger(7, 0), kind)))
		r.dropped(t, "no-session", uint64(i+1))
		if kind != 0 { // an echo reply is the answer that the session waits for
			r.send(t, r.Remote, lab.RemoteLink, ethernet(remote, host, etherIPv4, message(stranger(7, 0), id, kind)))
		}
	}
	r.fromRemote(t, segment{protocol: model.ICMP, reply: true, from: stranger(7, 0), to: id, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "the reply", 1, is(model.ICMP, netip.AddrPort{}, inside(0, 77)))
	if n := len(r.atEndpoint[0].came(func(p packet) bool { return p.protocol == model.ICMP })); n != 1 {
		t.Errorf("%d ICMP messages came in, want the reply alone", n)
	}
	const timestampReply = 14 // the host's own, to the request that came for it
	went := func(p packet) bool {
		return p.protocol == model.ICMP && p.data[34] != 8 && p.data[34] != timestampReply
	}
	if got := r.atRemote.came(went); len(got) != 0 {
		t.Errorf("went out: %v", got)
	}
}

// RFC 7126 sections 4.3 and 4.4: source routes.
func TestSourceRoutesAreDropped(t *testing.T) {
	t.Parallel()
	r := newMappedRig(t, 1)
	r.mute(t, 0)
	count := uint64(0)
	for _, options := range [][]byte{
		{131, 7, 4, 198, 51, 100, 7, 0}, {137, 7, 4, 198, 51, 100, 7, 0}, {1, 1, 1, 131, 7, 4, 1, 2, 3, 4, 0, 0}, {7, 7, 4, 0, 0, 0, 0, 131, 7, 4, 1, 2, 3, 4, 0, 0},
	} {
		r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80), options: options, payload: []byte("routed")})
		r.fromRemote(t, segment{protocol: model.UDP, from: stranger(7, 80), to: published, options: options, payload: []byte("routed")})
		count += 2
		r.dropped(t, "source-route", count)
	}
	// The numbers inside another option's data are none.
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80), options: []byte{68, 8, 9, 0, 131, 137, 131, 137}, payload: []byte("honest")})
	r.atRemote.await(t, "a timestamp option", 1, says("honest"))
	if got := append(r.atRemote.came(says("routed")), r.atEndpoint[0].came(says("routed"))...); len(got) != 0 {
		t.Errorf("passed: %v", got)
	}
}

// Rule 8: what has no ports is no NAT's, and may be for the host.
func TestOtherProtocolsFromEndpointReachHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for _, p := range []model.Protocol{sctp, gre, esp, udpLite, dccp} {
		r.fromEndpoint(t, 0, segment{protocol: p, from: inside(0, 0), to: netip.AddrPortFrom(hostAddress, 0), payload: make([]byte, 20)})
	}
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80), payload: []byte("marker")})
	r.atRemote.await(t, "marker", 1, says("marker"))
	if drops := r.drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}
