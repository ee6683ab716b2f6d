package dptest

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// AddReassembly gives the rig the namespace that puts fragments together.
func (r *Rig) AddReassembly(t *testing.T) {
	t.Helper()
	wire.Must(t, r.Host.Do(func() error {
		index, err := host.EnsureReassembly(t.Context(), false, r.Datapath.KeepReassembly)
		r.Config.Reassembly = uint32(index)
		return err
	}))
	r.Attach(t, r.Config.Reassembly, datapath.ReassemblyEnter, datapath.ReassemblyLeave)
	r.Apply(t)
}

// IPFromEndpoint sends datagrams of endpoint i to its gateway.
func (r *Rig) IPFromEndpoint(t *testing.T, i int, datagrams ...[]byte) {
	t.Helper()
	for _, d := range datagrams {
		r.Send(t, r.Endpoints[i], "eth0", wire.Ethernet(EndpointMAC(i), wire.GatewayMAC, wire.EtherIPv4, d))
	}
}

func (r *Rig) IPFromRemote(t *testing.T, datagrams ...[]byte) {
	t.Helper()
	for _, d := range datagrams {
		r.Send(t, r.Remote, lab.RemoteLink,
			wire.Ethernet(r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink), wire.EtherIPv4, d))
	}
}

// FromEndpoint sends packets out of endpoint i to its gateway, past its own
// IP stack.
func (r *Rig) FromEndpoint(t *testing.T, i int, segments ...wire.Segment) {
	t.Helper()
	frames := make([][]byte, len(segments))
	for j, s := range segments {
		frames[j] = wire.Ethernet(EndpointMAC(i), wire.GatewayMAC, wire.EtherIPv4, s.IP())
	}
	r.Send(t, r.Endpoints[i], "eth0", frames...)
}

// FromRemote sends packets from the remote's link to the host.
func (r *Rig) FromRemote(t *testing.T, segments ...wire.Segment) {
	t.Helper()
	frames := make([][]byte, len(segments))
	for j, s := range segments {
		frames[j] = wire.Ethernet(r.MACOf(t, r.Remote, lab.RemoteLink), r.MACOf(t, r.Host, lab.HostLink), wire.EtherIPv4, s.IP())
	}
	r.Send(t, r.Remote, lab.RemoteLink, frames...)
}

// Send is lab.SendFrames with a socket that is kept: to close one takes the
// kernel milliseconds.
func (r *Rig) Send(t *testing.T, n *lab.Namespace, link string, frames ...[]byte) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	place := n.Name + "/" + link
	fd, has := r.senders[place]
	if !has {
		fd = wire.PacketSocket(t, n, link)
		r.senders[place] = fd
	}
	for _, f := range frames {
		if _, err := unix.Write(fd, f); err != nil {
			t.Fatalf("sending %d bytes on %s: %v", len(f), place, err)
		}
	}
}

// MACOf asks for a link's address once.
func (r *Rig) MACOf(t *testing.T, n *lab.Namespace, link string) model.MAC {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	place := n.Name + "/" + link
	if _, known := r.macs[place]; !known {
		attrs, err := n.Link(link)
		wire.Must(t, err)
		r.macs[place] = model.MAC(attrs.HardwareAddr.String())
	}
	return r.macs[place]
}

// Mute takes endpoint i's address away, so that its IP stack answers nothing
// and the test alone speaks for it.
func (r *Rig) Mute(t *testing.T, i int) {
	t.Helper()
	wire.Must(t, r.Endpoints[i].DeleteAddress("eth0", wire.EndpointAddress(i).String()+"/24"))
}
