package datapath

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Pings that do not fit into a packet, of real stacks: to the remote from two
// endpoints at once with equal identifiers, to the gateway, to the host.
func TestLongPing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.addRoom(t)
	ctx := withTimeout(t)
	failed := make(chan error)
	for i := range r.Endpoints {
		go func() {
			var err error
			for seq := range uint16(20) {
				for _, to := range []string{lab.RemoteAddress, "172.16.1.1", lab.HostAddress} {
					request := lab.EchoRequest{To: netip.MustParseAddr(to), ID: 9, Seq: seq, Size: 4000}
					if _, failure := request.Send(ctx, r.Endpoints[i]); err == nil {
						err = failure
					}
				}
			}
			failed <- err
		}()
	}
	for range r.Endpoints {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	r.noDrops(t)
	r.consistent(t)
}

// From a port of the bridge that is nobody's, and to it.
func TestFragmentsOfUnmanagedPort(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	r.addRoom(t)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", unmanaged)
	r.apply(t)
	remote, port := assemble(t, r.Remote, lab.RemoteLink), assemble(t, r.Endpoints[1], "eth0")
	client := listen(t, r.Endpoints[1], unmanaged.String()) // teaches the host its MAC
	client.send(t, stranger(7, 53), "first")
	remote.await(t, model.UDP, "first")
	d := segment{protocol: model.UDP, from: unmanaged, to: stranger(7, 53), id: 1, payload: long("out", 3000)}.ip()
	r.ipFromEndpoint(t, 1, pick(cutUp(d, 1200), 2, 0, 1)...)
	if got, _ := remote.await(t, model.UDP, "out"); got.from.Addr() != hostAddress {
		t.Errorf("seen as %v", got.from)
	}
	d = segment{protocol: model.UDP, from: stranger(7, 99), to: netip.AddrPortFrom(hostAddress, 8080), id: 2, payload: long("in", 3000)}.ip()
	r.ipFromRemote(t, pick(cutUp(d, 1200), 2, 1, 0)...)
	if got, _ := port.await(t, model.UDP, "in"); got.to != unmanaged {
		t.Errorf("came to %v", got.to)
	}
	r.noDrops(t)
}

// From a VM's link and to it, with its headers in whatever part of the buffer.
func TestFragmentsOfTAP(t *testing.T) {
	t.Parallel()
	r, tap := newTapRig(t, unix.IFF_VNET_HDR)
	r.addRoom(t)
	remote := assemble(t, r.Remote, lab.RemoteLink)
	d := segment{protocol: model.TCP, flags: syn, from: inside(0, 4000), to: stranger(7, 53), id: 1, payload: long("out", 9000)}.ip()
	pieces := cutUp(d, 4800)
	slices.Reverse(pieces)
	for _, piece := range pieces {
		tap.inject(t, virtio{HeaderLength: 20}, ethernet(endpointMAC(0), gatewayMAC, etherIPv4, piece))
	}
	if _, w := remote.await(t, model.TCP, "out"); w.pieces != 2 {
		t.Errorf("came in %d pieces", w.pieces)
	}
	d = segment{protocol: model.TCP, flags: syn, from: stranger(7, 99), to: published, id: 2, payload: long("in", 3000)}.ip()
	r.ipFromRemote(t, pick(cutUp(d, 1200), 2, 1, 0)...)
	tap.await(t, "first fragment", func(p packet) bool {
		return p.to == inside(0, 80) && strings.Contains(string(p.data), "in.0000000")
	})
	r.noDrops(t)
}

// A fragment whose first one was translated on another CPU while it was on its
// way to the room turns back at the door, as it came.
func TestFragmentTurnsBackAtTheDoor(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.addRoom(t)
	r.mute(t, 0)
	pieces := cutUp(segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 53), id: 1, payload: long("x", 2000)}.ip(), 1200)
	later := ethernet(endpointMAC(0), gatewayMAC, etherIPv4, pieces[1])
	link := r.config.Endpoints[0].Interface
	enter := func() (uint32, skbuff, []byte) {
		t.Helper()
		context, out := skbuff{Mark: link, Ifindex: r.config.Room}, skbuff{}
		options := &ebpf.RunOptions{Data: later, DataOut: make([]byte, 4096), Context: &context, ContextOut: &out}
		var verdict uint32
		must(t, r.Host.Do(func() (err error) {
			verdict, err = r.dp.objects.ReassemblyEnter.Run(options)
			return err
		}))
		return verdict, out, options.DataOut
	}
	r.ipFromEndpoint(t, 0, pieces[0])
	r.external(t, model.UDP, inside(0, 4000)) // it has been seen
	verdict, out, frame := enter()
	if verdict != tcxRedirect || out.Mark != roomMark|1 || !bytes.Equal(frame, later) {
		t.Errorf("verdict %d, mark %#x, frame changed: %v", int32(verdict), out.Mark, !bytes.Equal(frame, later))
	}
	pieces[1][5]++ // of another datagram
	later = ethernet(endpointMAC(0), gatewayMAC, etherIPv4, pieces[1])
	if verdict, _, frame = enter(); verdict != tcxNext || bytes.Equal(frame, later) {
		t.Errorf("verdict %d for one that has to wait, frame changed: %v", int32(verdict), !bytes.Equal(frame, later))
	}
}
