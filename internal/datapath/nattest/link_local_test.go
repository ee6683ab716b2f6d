package nattest

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// RFC 3927 section 2.7: endpoints do not reach link-local addresses outside, where
// clouds keep secrets, unless their NAT lets them. A link-local machine of the LAN
// may use a published port, and no other.
func TestLinkLocalAddresses(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	r.Config.Mappings[3] = toEndpoint(model.UDP, "0.0.0.0:9090", 90)
	r.Apply(t)
	r.Mute(t, 0)
	metadata := netip.MustParseAddrPort("169.254.169.254:80")
	out := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: metadata}
	r.FromEndpoint(t, 0, out)
	r.AtEndpoint[0].Await(t, "ICMP 3/13", 1, func(p wire.Packet) bool { return p.Protocol == model.ICMP && p.Data[34] == 3 && p.Data[35] == 13 })
	r.Dropped(t, "link-local", 1)

	machine := netip.MustParseAddrPort("169.254.7.7:1000")
	r.FromRemote(t, wire.Segment{Protocol: model.UDP, From: machine, To: netip.MustParseAddrPort(lab.HostAddress + ":9090")})
	r.AtEndpoint[0].Await(t, "a link-local machine's datagram", 1, func(p wire.Packet) bool { return p.Protocol == model.UDP && p.From == machine })

	n := r.Config.NATs[wire.RigNAT]
	n.LinkLocal = true
	r.Config.NATs[wire.RigNAT] = n
	r.Apply(t)
	r.FromEndpoint(t, 0, out)
	r.External(t, model.UDP, wire.Inside(0, 4000))
}
