package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// Without is a host that has no hostnat: what its own traffic is measured against.
const Without = "without"

const (
	hostMappings = 100 // of TCP, and as many of UDP
	hostLaps     = 5
	ephemeral    = 33000 // programs connect from the host's ephemeral ports
)

// hostBars: the host's own traffic pays nothing, as far as it can be measured.
var hostBars = []Bar{{Against: Without, Limit: 0.98}}

// What hostnat costs traffic that is none of its own: of the host to others, and
// of the host to itself. Other namespaces have nothing of hostnat on them.
var hostTraffic = section{
	title:   "the host's own traffic, beside 200 mappings",
	rows:    hostRows(),
	missing: func() string { return "" },
	setups: func(o Options) ([]setup, error) {
		program, err := o.program()
		if err != nil {
			return nil, err
		}
		without := routing
		without.name = Without
		return []setup{hostnatBesideHost(program), without}, nil
	},
	measurements: func(b *Bench) (all []measurement) {
		rows := hostRows()
		for i, choose := range []func(*contender) path{hostOutbound, hostLoopback} {
			for j, take := range []func(context.Context, path) ([]float64, error){b.datagrams, b.bulk, b.connects} {
				all = append(all, inLaps(hostLaps, measurement{
					rows: rows[3*i+j : 3*i+j+1],
					take: func(ctx context.Context, c *contender) ([]float64, error) { return take(ctx, choose(c)) },
				}))
			}
		}
		return all
	},
}

func hostRows() (rows []Row) {
	for _, where := range []string{"to the outside", "over loopback"} {
		rows = append(rows,
			Row{Name: "64-byte UDP, sockets, the host's own " + where, Unit: "kpkt/s", Bars: hostBars},
			Row{Name: "TCP bulk, the host's own " + where, Unit: "Gbit/s", Bars: hostBars},
			Row{Name: "TCP connections, the host's own " + where, Unit: "1/s", Bars: hostBars})
	}
	return rows
}

// hostnatBesideHost is hostnat with mappings of both protocols, of ports that the
// measured traffic does not have.
func hostnatBesideHost(program string) setup {
	return setup{name: Hostnat, nat: true, build: func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		d, err := startDaemon(ctx, program, t.Host)
		if err != nil {
			return running{}, err
		}
		r := running{close: d.close, explain: d.status, client: api.NewClient(filepath.Join(d.dir, "run", "hostnat.sock"))}
		err = d.configure(ctx, t.Endpoints[0].Name, ports)
		for i := 0; i < hostMappings && err == nil; i++ {
			for _, protocol := range []string{"tcp", "udp"} {
				spec := mappingAt(firstMapped + i)
				spec.Protocol = protocol
				if _, addErr := r.client.AddMapping(ctx, spec); addErr != nil {
					err = errors.Join(err, fmt.Errorf("add mapping %d of %s: %w", i, protocol, addErr))
				}
			}
		}
		if err != nil {
			return running{}, errors.Join(err, d.close())
		}
		return r, nil
	}}
}

func hostOutbound(c *contender) path {
	remote := netip.AddrPortFrom(netip.MustParseAddr(lab.RemoteAddress), remotePort)
	return path{firstPort: ephemeral, client: c.topology.Host, server: c.topology.Remote, local: netip.MustParseAddr(lab.HostAddress), target: remote, listen: remote}
}

func hostLoopback(c *contender) path {
	own := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), remotePort)
	return path{firstPort: ephemeral, client: c.topology.Host, server: c.topology.Host, local: own.Addr(), target: own, listen: own}
}
