package bench

import (
	"context"
	"errors"
	"net/netip"

	"github.com/hostnat/hostnat/dev/lab"
)

// Bridge is the kernel's switch with two veths plugged in: what a network of
// hostnat is measured against.
const Bridge = "bridge"

var (
	neighbourBars      = []Bar{{Against: Bridge, Limit: 1.1}}
	neighbourDatagrams = Row{Name: "64-byte UDP, sockets, endpoint to endpoint", Unit: "kpkt/s", Bars: neighbourBars}
	neighbourBulk      = Row{Name: "TCP bulk, endpoint to endpoint", Unit: "Gbit/s", Bars: neighbourBars}
	neighbourConnects  = Row{Name: "TCP connections, endpoint to endpoint", Unit: "1/s", Bars: neighbourBars}
	neighbourTrips     = latencyRows("UDP round trip, endpoint to endpoint", nil, nil)
)

// What two endpoints of one network make of each other.
var oneNetwork = section{
	title:   "one network",
	rows:    append([]Row{neighbourDatagrams, neighbourBulk, neighbourConnects}, neighbourTrips...),
	missing: func() string { return "" },
	setups: func(o Options) ([]setup, error) {
		program, err := o.program()
		if err != nil {
			return nil, err
		}
		return []setup{
			withNeighbour(hostnat(program), func(ctx context.Context, r running, n *lab.Namespace) error {
				_, err := r.daemon.run(ctx, "endpoint", "attach", "web", "c2", "--netns", n.Name, "--ifname", endpointLink, "--address", neighbourAddress)
				return err
			}),
			withNeighbour(setup{name: Bridge, build: buildRouting}, func(_ context.Context, r running, n *lab.Namespace) error {
				return r.plugIn(n)
			}),
		}, nil
	},
	measurements: func(b *Bench) []measurement {
		between := func(take func(context.Context, path) ([]float64, error)) func(context.Context, *contender) ([]float64, error) {
			return func(ctx context.Context, c *contender) ([]float64, error) { return take(ctx, c.beside()) }
		}
		return []measurement{
			{rows: []Row{neighbourDatagrams}, laps: 3, take: between(b.datagrams)},
			{rows: []Row{neighbourBulk}, laps: bulkLaps, take: between(b.bulk)},
			{rows: []Row{neighbourConnects}, laps: 3, take: between(b.connects)},
			{rows: neighbourTrips, take: between(b.roundTrips)},
		}
	},
}

// withNeighbour is a setup with a second endpoint in the first one's network.
func withNeighbour(s setup, attach func(context.Context, running, *lab.Namespace) error) setup {
	build := s.build
	s.build = func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		n, err := lab.NewNamespace("bench-n")
		if err != nil {
			return running{}, err
		}
		r, err := build(ctx, t, ports)
		if err != nil {
			return running{}, errors.Join(err, n.Close())
		}
		r.host, r.neighbour = t.Host, n
		end := r.close
		r.close = func() error {
			err := n.Close()
			if end != nil {
				err = errors.Join(end(), err)
			}
			return err
		}
		if err := attach(ctx, r, n); err != nil {
			return running{}, errors.Join(err, r.close())
		}
		return r, nil
	}
	return s
}

// plugIn makes a namespace the second port of the bridge that attachEndpoint made.
func (r running) plugIn(n *lab.Namespace) error {
	return errors.Join(
		lab.Veth(r.host, "veth-c2", n, endpointLink),
		r.host.Enslave("veth-c2", "br0"),
		n.AddAddress(endpointLink, neighbourAddress+"/24"),
	)
}

// beside is the way from an endpoint to its neighbour.
func (c *contender) beside() path {
	inside, other := netip.MustParseAddr(endpoint), netip.MustParseAddr(neighbourAddress)
	to := netip.AddrPortFrom(other, remotePort)
	return path{
		client: c.topology.Endpoints[0], clientLink: endpointLink, local: inside, nextHop: other,
		server: c.neighbour, serverLink: endpointLink, target: to, listen: to, source: inside,
	}
}
