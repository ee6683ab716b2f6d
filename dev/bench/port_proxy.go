package bench

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/dev/lab"
)

// DockerProxy is the rival of the port proxy: Docker's relay for published
// ports.
const DockerProxy = "docker-proxy"

// relayPort is the port on which both relays listen.
const relayPort = 8081

// Rows of the port proxy. The round trips are of one TCP connection: what a
// published port costs beside the endpoint's own address, which routing reaches,
// and beside the relays.
var (
	relayBulk     = Row{Name: "TCP bulk, port proxy", Unit: "Gbit/s", Bars: []Bar{{Against: DockerProxy, Limit: 1.3}}}
	relayConnects = Row{Name: "TCP connections, port proxy", Unit: "1/s", Bars: []Bar{{Against: DockerProxy, Limit: 1.2}}}
	relayTrips    = latencyRows("TCP round trip, port proxy", nil, nil)
	mappedTrips   = latencyRows("TCP round trip, mapping", []Bar{{Against: Routing, Limit: 1.05}}, nil)
)

var portProxy = section{
	title:   "port proxy",
	rows:    slices.Concat([]Row{relayBulk, relayConnects}, relayTrips, mappedTrips),
	missing: notInstalled(DockerProxy, "docker.io"),
	setups: func(o Options) ([]setup, error) {
		program, err := o.program()
		if err != nil {
			return nil, err
		}
		relay := hostnatThen(program, []string{"proxy", "add", "v4tov4", fmt.Sprint(relayPort), fmt.Sprintf("c1:%d", insidePort)})
		return []setup{relay, {name: DockerProxy, build: buildDockerProxy}, routing}, nil
	},
	measurements: func(b *Bench) []measurement {
		return []measurement{
			{rows: []Row{relayBulk}, laps: bulkLaps, take: overRelay(b.bulk)},
			{rows: []Row{relayConnects}, laps: 3, take: overRelay(b.connects)},
			{rows: relayTrips, take: overRelay(b.streamTrips)},
			{rows: mappedTrips, laps: 3, take: func(ctx context.Context, c *contender) ([]float64, error) {
				if c.name == DockerProxy {
					return b.streamTrips(ctx, relayed(c))
				}
				return b.streamTrips(ctx, c.inbound)
			}},
		}
	},
}

// overRelay measures the way through a relay; routing, which has none, gives
// what the endpoint's own address does.
func overRelay(take func(context.Context, path) ([]float64, error)) func(context.Context, *contender) ([]float64, error) {
	return func(ctx context.Context, c *contender) ([]float64, error) { return take(ctx, relayed(c)) }
}

// relayed is the way in through a contender's relay.
func relayed(c *contender) path {
	p := c.inbound
	if c.name != Routing {
		p.target = netip.AddrPortFrom(netip.MustParseAddr(lab.HostAddress), relayPort)
	}
	return p
}
