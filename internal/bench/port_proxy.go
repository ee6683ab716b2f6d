package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"

	"github.com/hostnat/hostnat/internal/lab"
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
	title: "port proxy",
	rows:  slices.Concat([]Row{relayBulk, relayConnects}, relayTrips, mappedTrips),
	missing: func() string {
		if _, err := exec.LookPath(DockerProxy); err != nil {
			return "left out, docker-proxy is not installed (Debian's package docker.io)"
		}
		return ""
	},
	setups: func(o Options) ([]setup, error) {
		program, err := exec.LookPath(o.Program)
		if err != nil {
			return nil, fmt.Errorf("find hostnat (build it first): %w", err)
		}
		return []setup{hostnatRelay(program), {name: DockerProxy, build: buildDockerProxy}, routing}, nil
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

// hostnatRelay is hostnat with a port proxy beside the mapping.
func hostnatRelay(program string) setup {
	return setup{name: Hostnat, nat: true, build: func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		d, err := startDaemon(ctx, program, t.Host)
		if err != nil {
			return running{}, err
		}
		err = d.configure(ctx, t.Endpoints[0].Name, ports)
		if err == nil {
			_, err = d.run(ctx, "proxy", "add", "v4tov4", fmt.Sprint(relayPort), fmt.Sprintf("c1:%d", insidePort))
		}
		if err != nil {
			return running{}, errors.Join(err, d.close())
		}
		return running{close: d.close, explain: d.status}, nil
	}}
}
