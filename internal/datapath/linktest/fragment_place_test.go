package linktest

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// Pings that do not fit into a packet, of real stacks: to the remote from two
// endpoints at once with equal identifiers, to the gateway, to the host.
func TestLongPing(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	r.AddReassembly(t)
	ctx := wire.WithTimeout(t)
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
	noDrops(t, r)
	r.Consistent(t)
}

// From a port of the bridge that is nobody's, and to it.
func TestFragmentsOfUnmanagedPort(t *testing.T) {
	t.Parallel()
	r := newUnmanagedRig(t)
	r.AddReassembly(t)
	r.Config.Mappings[1] = dptest.Mapping(model.UDP, "0.0.0.0:8080", unmanaged)
	r.Apply(t)
	remote, port := wire.Assemble(t, r.Remote, lab.RemoteLink), wire.Assemble(t, r.Endpoints[1], "eth0")
	client := wire.Listen(t, r.Endpoints[1], unmanaged.String()) // teaches the host its MAC
	client.Send(t, wire.Unanswered(7, 53), "first")
	remote.Await(t, model.UDP, "first")
	d := wire.Segment{Protocol: model.UDP, From: unmanaged, To: wire.Unanswered(7, 53), ID: 1, Payload: wire.Long("out", 3000)}.IP()
	r.IPFromEndpoint(t, 1, wire.Pick(wire.CutUp(d, 1200), 2, 0, 1)...)
	if got, _ := remote.Await(t, model.UDP, "out"); got.From.Addr() != wire.HostAddress {
		t.Errorf("seen as %v", got.From)
	}
	d = wire.Segment{Protocol: model.UDP, From: wire.Unanswered(7, 99), To: netip.AddrPortFrom(wire.HostAddress, 8080), ID: 2, Payload: wire.Long("in", 3000)}.IP()
	r.IPFromRemote(t, wire.Pick(wire.CutUp(d, 1200), 2, 1, 0)...)
	if got, _ := port.Await(t, model.UDP, "in"); got.To != unmanaged {
		t.Errorf("came to %v", got.To)
	}
	noDrops(t, r)
}

// From a VM's link and to it, with its headers in whatever part of the buffer.
func TestFragmentsOfTAP(t *testing.T) {
	t.Parallel()
	r, tap := newTapRig(t, unix.IFF_VNET_HDR)
	r.AddReassembly(t)
	remote := wire.Assemble(t, r.Remote, lab.RemoteLink)
	d := wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: 1, Payload: wire.Long("out", 9000)}.IP()
	pieces := wire.CutUp(d, 4800)
	slices.Reverse(pieces)
	for _, piece := range pieces {
		tap.Inject(t, wire.Virtio{HeaderLength: 20}, wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, piece))
	}
	if _, w := remote.Await(t, model.TCP, "out"); w.Pieces != 2 {
		t.Errorf("came in %d pieces", w.Pieces)
	}
	d = wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Unanswered(7, 99), To: wire.Published, ID: 2, Payload: wire.Long("in", 3000)}.IP()
	r.IPFromRemote(t, wire.Pick(wire.CutUp(d, 1200), 2, 1, 0)...)
	tap.Await(t, "first fragment", func(p wire.Packet) bool {
		return p.To == wire.Inside(0, 80) && strings.Contains(string(p.Data), "in.0000000")
	})
	noDrops(t, r)
}

// A fragment whose first one was translated on another CPU while it was on its
// way to the reassembly namespace turns back there, as it came.
func TestFragmentTurnsBackAtReassembly(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.AddReassembly(t)
	r.Mute(t, 0)
	pieces := wire.CutUp(wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 53), ID: 1, Payload: wire.Long("x", 2000)}.IP(), 1200)
	later := wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, pieces[1])
	link := r.Config.Endpoints[0].Interface
	enter := func() (uint32, wire.Skbuff, []byte) {
		t.Helper()
		context, out := wire.Skbuff{Mark: link, Ifindex: r.Config.Reassembly}, wire.Skbuff{}
		options := &ebpf.RunOptions{Data: later, DataOut: make([]byte, 4096), Context: &context, ContextOut: &out}
		var verdict uint32
		wire.Must(t, r.Host.Do(func() (err error) {
			verdict, err = r.Datapath.Objects().ReassemblyEnter.Run(options)
			return err
		}))
		return verdict, out, options.DataOut
	}
	r.IPFromEndpoint(t, 0, pieces[0])
	r.External(t, model.UDP, wire.Inside(0, 4000)) // it has been seen
	verdict, out, frame := enter()
	if verdict != wire.TCXRedirect || out.Mark != wire.ReassembledMark|1 || !bytes.Equal(frame, later) {
		t.Errorf("verdict %d, mark %#x, frame changed: %v", int32(verdict), out.Mark, !bytes.Equal(frame, later))
	}
	pieces[1][5]++ // of another datagram
	later = wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, pieces[1])
	if verdict, _, frame = enter(); verdict != wire.TCXNext || bytes.Equal(frame, later) {
		t.Errorf("verdict %d for one that has to wait, frame changed: %v", int32(verdict), !bytes.Equal(frame, later))
	}
}
