package datapath

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// FDio/vpp#3140: jumbo frames crashed a NAT. All links carry 9000 bytes here.
func TestJumboFrames(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *rig, _ bool) {
		must(t, r.Host.SetMTU(lab.HostLink, 9000))
		must(t, r.Remote.SetMTU(lab.RemoteLink, 9000))
		must(t, r.Host.SetMTU(hostSide(0), 9000))
		must(t, r.Host.SetMTU("br1", 9000))
		must(t, r.Endpoints[0].SetMTU("eth0", 9000))
		r.config.Mappings[1] = mapping(model.UDP, "203.0.113.1:8080", inside(0, 80))
		r.config.Mappings[2] = mapping(model.TCP, "203.0.113.1:8080", inside(0, 80))
		r.apply(t)
		client, server := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000")), listen(t, r.Remote, lab.RemoteAddress+":7000")
		mapped := listen(t, r.Endpoints[0], text(endpointAddress(0), "80"))
		for _, size := range []int{1473, 4096, 8191, 8971, 8972} {
			out, back := strings.Repeat("o", size), strings.Repeat("b", size)
			client.send(t, netip.AddrPortFrom(remoteAddress, 7000), out)
			server.send(t, server.expect(t, out), back)
			client.expect(t, back)
			server.send(t, published, out)
			mapped.send(t, mapped.expect(t, out), back)
			server.expect(t, back)
		}
		whole := func(p packet) bool { return p.protocol == model.UDP && p.size == 14+9000 }
		r.atRemote.await(t, "jumbo frames out", 2, whole)
		r.atEndpoint[0].await(t, "jumbo frames in", 2, whole)
		bulk(t, r.Remote, r.Endpoints[0], "172.16.1.2:80", published.String())
		bulk(t, r.Endpoints[0], r.Remote, lab.RemoteAddress+":7001", lab.RemoteAddress+":7001")
		if drops := r.drops(t); len(drops) != 0 {
			t.Errorf("drops %v", drops)
		}
	})
}
