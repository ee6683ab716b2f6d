package linktest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// newTapRig has endpoint 172.16.1.2 on a TAP, as a VM: DELIVER_LINK.
func newTapRig(t *testing.T, flags uint16) (*dptest.Rig, *wire.Device) {
	t.Helper()
	r := dptest.NewRig(t, 0)
	tap := wire.OpenDevice(t, r.Host, "tap0", unix.IFF_TAP|flags)
	wire.Must(t, r.Host.Enslave("tap0", "br1"))
	index := wire.Ifindex(t, r.Host, "tap0")
	r.Config.Insides[index] = datapath.Inside{Network: wire.RigNetwork, Address: wire.EndpointAddress(0), MAC: dptest.EndpointMAC(0)}
	r.Config.Endpoints = append(r.Config.Endpoints, datapath.Endpoint{
		ID: 1, Compartment: wire.RigCompartment, Address: wire.EndpointAddress(0), Interface: index, Network: wire.RigNetwork,
		MAC: dptest.EndpointMAC(0), GatewayMAC: wire.GatewayMAC,
	})
	r.Attach(t, index, datapath.InsideIngress)
	r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
	r.Apply(t)
	for link, n := range map[string]*lab.Namespace{"tap0": r.Host, lab.HostLink: r.Host, lab.RemoteLink: r.Remote} {
		wire.Must(t, n.SetMTU(link, 9000))
	}
	return r, tap
}

func fromVM(s wire.Segment) []byte {
	return wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, s.IP())
}

func TestTAPEndpoint(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]uint16{"plain": 0, "virtio header": unix.IFF_VNET_HDR} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, tap := newTapRig(t, flags)
			for i, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
				from, remote := wire.Inside(0, 4000+uint16(i)), wire.Unanswered(7, 80)
				tap.Inject(t, wire.Virtio{}, fromVM(wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: remote}))
				external := r.External(t, p, from)
				r.AtRemote.Await(t, p.String()+" out", 1, wire.Is(p, external, netip.AddrPort{}))
				r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.SynAck, Reply: true, From: remote, To: external, Payload: []byte("in")})
				got := tap.Await(t, p.String()+" in", wire.Is(p, netip.AddrPort{}, from))
				wantHeader := append(wire.Hardware(dptest.EndpointMAC(0)), wire.Hardware(wire.GatewayMAC)...)
				if string(got.Data[tap.Header:tap.Header+12]) != string(wantHeader) {
					t.Errorf("%v: Ethernet header % x, want % x", p, got.Data[tap.Header:tap.Header+12], wantHeader)
				}
			}
			r.FromRemote(t, wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(9, 99), To: wire.Published})
			tap.Await(t, "SYN to the mapping", wire.Is(model.TCP, wire.Unanswered(9, 99), wire.Inside(0, 80)))
			r.Consistent(t)
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
			from := wire.Inside(0, 4000+uint16(i))
			tap.Inject(t, wire.Virtio{HeaderLength: linear},
				fromVM(wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: wire.Unanswered(7, 80), Options: wire.IPOptions, Payload: make([]byte, 8000)}))
			external := r.External(t, p, from)
			r.AtRemote.Await(t, fmt.Sprintf("%v with %d linear bytes", p, linear), 1, wire.Is(p, external, netip.AddrPort{}))
		}
	}
}

// A VM leaves its checksums to us; the device's offload must have the right
// start.
func TestTAPChecksumLeftToDevice(t *testing.T) {
	t.Parallel()
	r, tap := newTapRig(t, unix.IFF_VNET_HDR)
	for _, p := range []model.Protocol{model.UDP, model.TCP} {
		s := wire.Segment{Protocol: p, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80), Payload: []byte("left to the device")}
		frame, at := partial(s)
		tap.Inject(t, wire.Virtio{Flags: wire.NeedsChecksum, HeaderLength: 54, ChecksumStart: 34, ChecksumAt: at}, frame)
		r.AtRemote.Await(t, p.String(), 1, wire.Is(p, r.External(t, p, wire.Inside(0, 4000)), netip.AddrPort{}))
	}
}

// partial is a VM's frame with the pseudo-header's sum in place of the checksum.
func partial(s wire.Segment) ([]byte, uint16) {
	frame := fromVM(s)
	_, at := s.L4Header()
	binary.BigEndian.PutUint16(frame[34+at:], s.Pseudo(len(frame)-34))
	return frame, uint16(at)
}

// A VM hands over 30 KB of TCP at once, to be segmented on the way.
func TestTAPSegmentationOffload(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("outside offloads=%v", offloads), func(t *testing.T) {
			t.Parallel()
			r, tap := newTapRig(t, unix.IFF_VNET_HDR)
			wire.Must(t, r.Host.SetOffloads(lab.HostLink, offloads))
			from, remote := wire.Inside(0, 4000), wire.Unanswered(7, 80)
			tap.Inject(t, wire.Virtio{}, fromVM(wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: from, To: remote}))
			external := r.External(t, model.TCP, from)
			const size, gso = 30000, 1448
			s := wire.Segment{Protocol: model.TCP, Flags: wire.Ack, From: from, To: remote, Payload: []byte(strings.Repeat("0123456789", size/10))}
			frame, at := partial(s)
			tap.Inject(t, wire.Virtio{
				Flags: wire.NeedsChecksum, GSOType: wire.GsoTCPv4, HeaderLength: 54, GSOSize: gso, ChecksumStart: 34, ChecksumAt: at,
			}, frame)
			bytes := 0
			wire.Eventually(t, "all bytes at the remote", func() bool {
				bytes = 0
				for _, p := range r.AtRemote.Came(func(p wire.Packet) bool { return p.From == external && p.Flags == wire.Ack }) {
					bytes += p.Size - 54
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
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	for link, n := range map[string]*lab.Namespace{dptest.HostSide(0): r.Host, lab.HostLink: r.Host, lab.RemoteLink: r.Remote} {
		wire.Must(t, n.SetMTU(link, 9000))
	}
	wire.Must(t, r.Endpoints[0].SetMTU("eth0", 9000))
	for i, options := range [][]byte{nil, wire.IPOptions} {
		for _, p := range []model.Protocol{model.UDP, model.TCP, model.ICMP} {
			from, remote := wire.Inside(0, 4000+uint16(i)), wire.Unanswered(7, 80)
			r.FromEndpoint(t, 0, wire.Segment{Protocol: p, Flags: wire.Syn, From: from, To: remote, Options: options, Payload: make([]byte, 8001)})
			external := r.External(t, p, from)
			r.AtRemote.Await(t, "large packet out", 1, wire.Is(p, external, netip.AddrPort{}))
			r.FromRemote(t, wire.Segment{Protocol: p, Flags: wire.SynAck, Reply: true, From: remote, To: external, Options: options, Payload: make([]byte, 8001)})
			r.AtEndpoint[0].Await(t, "large packet in", 1, wire.Is(p, netip.AddrPort{}, from))
		}
	}
	before := r.Drops(t)["spoofed-source"]
	r.FromEndpoint(t, 0, wire.Segment{Protocol: model.UDP, From: wire.Inside(5, 4000), To: wire.Unanswered(7, 80), Payload: make([]byte, 8000)})
	r.Dropped(t, "spoofed-source", before+1)
}
