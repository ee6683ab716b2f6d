package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// tapRig has endpoint 172.16.1.2 on a TAP, as a VM: DELIVER_LINK.
func newTapRig(t *testing.T, flags uint16) (*rig, *device) {
	t.Helper()
	r := newRig(t, 0)
	tap := openDevice(t, r.Host, "tap0", unix.IFF_TAP|flags)
	must(t, r.Host.Enslave("tap0", "br1"))
	index := ifindex(t, r.Host, "tap0")
	r.config.Insides[index] = Inside{Network: rigNetwork, Address: endpointAddress(0), MAC: endpointMAC(0)}
	r.config.Endpoints = append(r.config.Endpoints, Endpoint{
		Compartment: rigCompartment, Address: endpointAddress(0), Interface: index, Network: rigNetwork,
		MAC: endpointMAC(0), GatewayMAC: gatewayMAC,
	})
	r.attach(t, index, InsideIngress)
	r.config.Mappings[1] = mapping(model.TCP, "203.0.113.1:8080", inside(0, 80))
	r.apply(t)
	for link, n := range map[string]*lab.Namespace{"tap0": r.Host, lab.HostLink: r.Host, lab.RemoteLink: r.Remote} {
		must(t, n.SetMTU(link, 9000))
	}
	return r, tap
}

func fromVM(s segment) []byte { return ethernet(endpointMAC(0), gatewayMAC, etherIPv4, s.ip()) }

func TestTAPEndpoint(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]uint16{"plain": 0, "virtio header": unix.IFF_VNET_HDR} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, tap := newTapRig(t, flags)
			for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
				from, remote := inside(0, 4000+uint16(i)), stranger(7, 80)
				tap.inject(t, virtio{}, fromVM(segment{protocol: p, flags: syn, from: from, to: remote}))
				external := r.external(t, p, from)
				r.atRemote.await(t, p.String()+" out", 1, is(p, external, netip.AddrPort{}))
				r.fromRemote(t, segment{protocol: p, flags: synAck, reply: true, from: remote, to: external, payload: []byte("in")})
				got := tap.await(t, p.String()+" in", is(p, netip.AddrPort{}, from))
				wantHeader := append(hardware(endpointMAC(0)), hardware(gatewayMAC)...)
				if string(got.data[tap.header:tap.header+12]) != string(wantHeader) {
					t.Errorf("%v: Ethernet header % x, want % x", p, got.data[tap.header:tap.header+12], wantHeader)
				}
			}
			r.fromRemote(t, segment{protocol: model.TCP, flags: syn, from: stranger(9, 99), to: published})
			tap.await(t, "SYN to the mapping", is(model.TCP, stranger(9, 99), inside(0, 80)))
			r.consistent(t)
		})
	}
}

// A TAP frame of more than a page has as many bytes in the linear part as the
// virtio header says: none of IP, a part of it, or a part of the TCP header.
func TestHeadersOutsideLinearPartFromTAP(t *testing.T) {
	t.Parallel()
	r, tap := newTapRig(t, unix.IFF_VNET_HDR)
	for i, linear := range []uint16{0, 14, 20, 33, 34, 38, 42, 53, 54} {
		for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
			from := inside(0, 4000+uint16(i))
			tap.inject(t, virtio{HeaderLength: linear},
				fromVM(segment{protocol: p, flags: syn, from: from, to: stranger(7, 80), options: ipOptions, payload: make([]byte, 8000)}))
			external := r.external(t, p, from)
			r.atRemote.await(t, fmt.Sprintf("%v with %d linear bytes", p, linear), 1, is(p, external, netip.AddrPort{}))
		}
	}
}

// A VM leaves its checksums to us; the device's offload must have the right
// start.
func TestTAPChecksumLeftToDevice(t *testing.T) {
	t.Parallel()
	r, tap := newTapRig(t, unix.IFF_VNET_HDR)
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		s := segment{protocol: p, flags: syn, from: inside(0, 4000), to: stranger(7, 80), payload: []byte("left to the device")}
		frame, at := partial(s)
		tap.inject(t, virtio{Flags: needsChecksum, HeaderLength: 54, ChecksumStart: 34, ChecksumAt: at}, frame)
		r.atRemote.await(t, p.String(), 1, is(p, r.external(t, p, inside(0, 4000)), netip.AddrPort{}))
	}
}

// partial is a VM's frame with the pseudo-header's sum in place of the checksum.
func partial(s segment) ([]byte, uint16) {
	frame := fromVM(s)
	_, at := s.l4Header()
	binary.BigEndian.PutUint16(frame[34+at:], s.pseudo(len(frame)-34))
	return frame, uint16(at)
}

// A VM hands over 30 KB of TCP at once, to be segmented on the way.
func TestTAPSegmentationOffload(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("outside offloads=%v", offloads), func(t *testing.T) {
			t.Parallel()
			r, tap := newTapRig(t, unix.IFF_VNET_HDR)
			must(t, r.Host.SetOffloads(lab.HostLink, offloads))
			from, remote := inside(0, 4000), stranger(7, 80)
			tap.inject(t, virtio{}, fromVM(segment{protocol: model.TCP, flags: syn, from: from, to: remote}))
			external := r.external(t, model.TCP, from)
			const size, gso = 30000, 1448
			s := segment{protocol: model.TCP, flags: ack, from: from, to: remote, payload: []byte(strings.Repeat("0123456789", size/10))}
			frame, at := partial(s)
			tap.inject(t, virtio{
				Flags: needsChecksum, GSOType: gsoTCPv4, HeaderLength: 54, GSOSize: gso, ChecksumStart: 34, ChecksumAt: at,
			}, frame)
			bytes := 0
			eventually(t, "all bytes at the remote", func() bool {
				bytes = 0
				for _, p := range r.atRemote.came(func(p packet) bool { return p.from == external && p.flags == ack }) {
					bytes += p.size - 54
				}
				return bytes >= size
			})
			if bytes != size {
				t.Errorf("%d bytes arrived, want %d", bytes, size)
			}
		})
	}
}

// AF_PACKET puts nothing but the Ethernet header into the linear part of a
// large frame. Both directions, and what an endpoint's checks must look at.
func TestHeadersOutsideLinearPartFromPacketSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for link, n := range map[string]*lab.Namespace{hostSide(0): r.Host, lab.HostLink: r.Host, lab.RemoteLink: r.Remote} {
		must(t, n.SetMTU(link, 9000))
	}
	must(t, r.Endpoints[0].SetMTU("eth0", 9000))
	for i, options := range [][]byte{nil, ipOptions} {
		for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
			from, remote := inside(0, 4000+uint16(i)), stranger(7, 80)
			r.fromEndpoint(t, 0, segment{protocol: p, flags: syn, from: from, to: remote, options: options, payload: make([]byte, 8001)})
			external := r.external(t, p, from)
			r.atRemote.await(t, "large packet out", 1, is(p, external, netip.AddrPort{}))
			r.fromRemote(t, segment{protocol: p, flags: synAck, reply: true, from: remote, to: external, options: options, payload: make([]byte, 8001)})
			r.atEndpoint[0].await(t, "large packet in", 1, is(p, netip.AddrPort{}, from))
		}
	}
	before := r.drops(t)["spoofed-source"]
	r.fromEndpoint(t, 0, segment{protocol: model.UDP, from: inside(5, 4000), to: stranger(7, 80), payload: make([]byte, 8000)})
	r.dropped(t, "spoofed-source", before+1)
}
