package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// forgery is a DHCP message by which somebody would end another's lease.
type forgery struct {
	name  string
	frame []byte
}

// forgeries are RELEASE and DECLINE of a victim's address in every mixture of his name and the
// forger's own: in the frame, in chaddr, as client identifier, as IP source.
func forgeries(victim, forger *plugged, gateway netip.Addr) (list []forgery) {
	name := func(mac net.HardwareAddr) string {
		switch {
		case mac == nil:
			return "none"
		case slices.Equal(mac, victim.mac):
			return "the victim's"
		}
		return "its own"
	}
	everybody := netip.MustParseAddr("255.255.255.255")
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline} {
		for _, source := range []net.HardwareAddr{forger.mac, victim.mac} {
			for _, chaddr := range []net.HardwareAddr{victim.mac, forger.mac} {
				for _, id := range []net.HardwareAddr{nil, victim.mac, forger.mac} {
					for _, from := range []netip.Addr{netip.IPv4Unspecified(), victim.address, forger.address} {
						for _, to := range []netip.Addr{gateway, everybody} {
							for _, tags := range [][]byte{nil, {0x81, 0, 0, 0}} {
								frame := ethernet(source, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire.EtherIPv4,
									wire.Segment{Protocol: model.UDP, From: netip.AddrPortFrom(from, 68), To: netip.AddrPortFrom(to, 67),
										Payload: ending(kind, victim.address, gateway, chaddr, id)}.IP())
								list = append(list, forgery{
									fmt.Sprintf("%s, MAC %s, chaddr %s, client identifier %s, from %s to %s, %d bytes of tags", kind, name(source), name(chaddr), name(id), from, to, len(tags)),
									slices.Concat(frame[:12], tags, frame[12:]),
								})
							}
						}
					}
				}
			}
		}
	}
	return list
}

// ending is a message that ends the lease of an address.
func ending(kind dhcpv4.MessageType, a, server netip.Addr, chaddr, id net.HardwareAddr) []byte {
	with := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(chaddr), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice())),
	}
	if id != nil {
		with = append(with, dhcpv4.WithOption(dhcpv4.OptClientIdentifier(append([]byte{1}, id...))))
	}
	if kind == dhcpv4.MessageTypeRelease {
		with = append(with, dhcpv4.WithClientIP(a.AsSlice()))
	} else {
		with = append(with, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a.AsSlice())))
	}
	m, err := dhcpv4.New(with...)
	if err != nil {
		panic(err) // it lacks chance
	}
	return m.ToBytes()
}

// leaseOf is who has an address by DHCP.
func (l *switchLab) leaseOf(a netip.Addr) (found api.Lease) {
	l.t.Helper()
	leases, err := l.client().Leases(context.Background(), "web")
	l.check(err)
	for _, lease := range leases {
		if lease.Address == a {
			found = lease
		}
	}
	return found
}

// Nobody ends a neighbour's lease, in whatever mixture of names he says so; the neighbour
// himself does.
func TestForgedEndsOfLeases(t *testing.T) {
	t.Parallel()
	l := newSwitchLab(t)
	victim, forger := l.plug("victim", hardware(2, 1)), l.plug("forger", hardware(2, 2))
	l.settle(victim, netip.Addr{})
	l.settle(forger, netip.Addr{})
	before := l.leaseOf(victim.address)
	var frames [][]byte
	for _, f := range forgeries(victim, forger, l.gateway.Address) {
		frames = append(frames, f.frame)
	}
	l.check(lab.SendFrames(forger.Namespace, "eth0", frames...))

	// The server takes messages as they come: once it has read that the forger gives up what is
	// its own, it has read all of these.
	release := func(p *plugged) []byte {
		return ethernet(p.mac, net.HardwareAddr(wire.Hardware(l.gateway.MAC)), wire.EtherIPv4, wire.Segment{
			Protocol: model.UDP, From: netip.AddrPortFrom(p.address, 68), To: netip.AddrPortFrom(l.gateway.Address, 67),
			Payload: ending(dhcpv4.MessageTypeRelease, p.address, l.gateway.Address, p.mac, nil),
		}.IP())
	}
	l.await("the forger's own release", func() bool {
		l.check(lab.SendFrames(forger.Namespace, "eth0", release(forger)))
		return l.leaseOf(forger.address).State != string(model.LeaseBound)
	})
	if after := l.leaseOf(victim.address); after.State != string(model.LeaseBound) || after.MAC != before.MAC || !after.Since.Equal(before.Since) {
		t.Fatalf("the victim's lease was %+v and is %+v", before, after)
	}
	l.await("the victim's own release", func() bool {
		l.check(lab.SendFrames(victim.Namespace, "eth0", release(victim)))
		return l.leaseOf(victim.address).State != string(model.LeaseBound)
	})
}

// A port that floods the DHCP server, with clients that it makes up or in one name, keeps nobody
// else from an address, at whatever rate it does.
func TestDHCPFloodStaysAtItsPort(t *testing.T) {
	t.Parallel()
	l := newSwitchLab(t)
	flooder := l.plug("flooder", hardware(3, 1))
	var frames [][]byte
	for i := range 2000 {
		made := net.HardwareAddr{2, 0x68, 0, 0, byte(i >> 8), byte(i)}
		m, err := dhcpv4.NewDiscovery(made)
		l.check(err)
		frames = append(frames, ethernet(flooder.mac, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire.EtherIPv4, wire.Segment{
			Protocol: model.UDP, From: netip.MustParseAddrPort("0.0.0.0:68"), To: netip.MustParseAddrPort("255.255.255.255:67"), Payload: m.ToBytes(),
		}.IP()))
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil { // as fast as the machine can
			if err := lab.SendFrames(flooder.Namespace, "eth0", frames...); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	l.await("the flood to be noticed", func() bool {
		s, err := l.client().Status(t.Context())
		l.check(err)
		return slices.ContainsFunc(s.Problems, func(text string) bool { return strings.Contains(text, "dhcp-flood") })
	})
	for i := range byte(8) {
		p := l.plug(fmt.Sprintf("client%d", i), hardware(4, i))
		if _, err := l.lease(p.Namespace, "eth0", dhcpv4.WithOption(dhcpv4.OptHostName(p.port))); err != nil {
			t.Errorf("%s: %v", p.port, err)
		}
	}
	stop()
	l.check(<-ended)
}
