package linktest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// FDio/vpp#3140: jumbo frames crashed a NAT. All links carry 9000 bytes here.
func TestJumboFrames(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *dptest.Rig, _ bool) {
		wire.Must(t, r.Host.SetMTU(lab.HostLink, 9000))
		wire.Must(t, r.Remote.SetMTU(lab.RemoteLink, 9000))
		wire.Must(t, r.Host.SetMTU(dptest.HostSide(0), 9000))
		wire.Must(t, r.Host.SetMTU("br1", 9000))
		wire.Must(t, r.Endpoints[0].SetMTU("eth0", 9000))
		r.Config.Mappings[1] = dptest.Mapping(model.UDP, "203.0.113.1:8080", wire.Inside(0, 80))
		r.Config.Mappings[2] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
		r.Apply(t)
		client, server := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000")), wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
		mapped := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "80"))
		for _, size := range []int{1473, 4096, 8191, 8971, 8972} {
			out, back := strings.Repeat("o", size), strings.Repeat("b", size)
			client.Send(t, netip.AddrPortFrom(wire.RemoteAddress, 7000), out)
			server.Send(t, server.Expect(t, out), back)
			client.Expect(t, back)
			server.Send(t, wire.Published, out)
			mapped.Send(t, mapped.Expect(t, out), back)
			server.Expect(t, back)
		}
		whole := func(p wire.Packet) bool { return p.Protocol == model.UDP && p.Size == 14+9000 }
		r.AtRemote.Await(t, "jumbo frames out", 2, whole)
		r.AtEndpoint[0].Await(t, "jumbo frames in", 2, whole)
		bulk(t, r.Remote, r.Endpoints[0], "172.16.1.2:80", wire.Published.String())
		bulk(t, r.Endpoints[0], r.Remote, lab.RemoteAddress+":7001", lab.RemoteAddress+":7001")
		if drops := r.Drops(t); len(drops) != 0 {
			t.Errorf("drops %v", drops)
		}
	})
}
