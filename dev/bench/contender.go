package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// Names of the contenders, in the order of the table.
const (
	Hostnat  = "hostnat"
	NFTables = "nftables"
	Routing  = "routing"
	Before   = "before" // hostnat as another program, see Options.Against
)

// What is the same for every contender.
const (
	endpointLink = "eth0"
	subnet       = "172.16.1.0/24"
	gateway      = "172.16.1.1"
	endpoint     = "172.16.1.2"
	insidePort   = 80
	externalPort = 8080
	remotePort   = 7000
)

// contender is one way to join an endpoint to the outside, set up and ready.
type contender struct {
	name     string
	topology *lab.Topology
	outbound path // from the endpoint to the remote
	inbound  path // from the remote to the endpoint's published port
	running
}

// running is what a setup leaves behind in a topology.
type running struct {
	close   func() error
	explain func() string // what the contender says about itself when traffic fails; nil: nothing
	client  *api.Client   // of the daemon, for sections that change things; else nil
	daemon  *daemon       // hostnat's; else nil

	host, neighbour *lab.Namespace // of sections with two endpoints
}

// path is traffic in one direction: a client, a server and what the contender
// makes of the client's packets on the way.
type path struct {
	client, server         *lab.Namespace
	clientLink, serverLink string
	local                  netip.Addr     // the client's own address
	nextHop                netip.Addr     // the client's gateway to the server
	target                 netip.AddrPort // what the client sends to
	listen                 netip.AddrPort // where the server is
	source                 netip.Addr     // the client's address as the server sees it
	firstPort              int            // from which its connections are; 0: connectFirst
}

// setup is how a contender is made out of a bare topology. ports limits the
// external ports of the NAT ("LO-HI"); empty: the contender's default.
type setup struct {
	name  string
	build func(ctx context.Context, t *lab.Topology, ports string) (running, error)
	nat   bool // the endpoint's address is translated
}

// start makes a topology and the contender in it.
func (s setup) start(ctx context.Context, ports string) (*contender, error) {
	t, err := lab.NewTopology("bench-"+s.name[:1], 1)
	if err != nil {
		return nil, err
	}
	c := &contender{name: s.name, topology: t, running: running{close: t.Close}}
	if err := c.prepareHost(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	built, err := s.build(ctx, t, ports)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", s.name, err), c.close())
	}
	end := built.close
	c.running = built
	c.close = t.Close
	if end != nil {
		c.close = func() error { return errors.Join(end(), t.Close()) }
	}
	c.setPaths(s.nat)
	if err := c.verify(ctx); err != nil {
		return nil, errors.Join(c.failure("traffic", err), c.close())
	}
	return c, nil
}

// failure names what failed, with what the contender says about itself.
func (c *contender) failure(what string, err error) error {
	err = fmt.Errorf("%s, %s: %w", what, c.name, err)
	if c.explain != nil {
		err = fmt.Errorf("%w\n%s", err, c.explain())
	}
	return err
}

// prepareHost makes the hosts equal: nobody's bridge hands its frames to
// netfilter, which would slow down the contender that has rules there.
func (c *contender) prepareHost() error {
	err := c.topology.Host.Sysctl("net/bridge/bridge-nf-call-iptables", "0")
	if errors.Is(err, errNotThere) { // br_netfilter is not loaded
		return nil
	}
	return err
}

func (c *contender) setPaths(translated bool) {
	t, inside := c.topology, netip.MustParseAddr(endpoint)
	remote, host := netip.MustParseAddr(lab.RemoteAddress), netip.MustParseAddr(lab.HostAddress)
	c.outbound = path{
		client: t.Endpoints[0], clientLink: endpointLink, local: inside, nextHop: netip.MustParseAddr(gateway),
		server: t.Remote, serverLink: lab.RemoteLink, target: netip.AddrPortFrom(remote, remotePort),
		listen: netip.AddrPortFrom(remote, remotePort), source: inside,
	}
	c.inbound = path{
		client: t.Remote, clientLink: lab.RemoteLink, local: remote, nextHop: host,
		server: t.Endpoints[0], serverLink: endpointLink, target: netip.AddrPortFrom(inside, insidePort),
		listen: netip.AddrPortFrom(inside, insidePort), source: remote,
	}
	if translated {
		c.outbound.source = host
		c.inbound.target = netip.AddrPortFrom(host, externalPort)
	}
}

// attachEndpoint is what the contenders without a daemon do: the endpoint's
// veth becomes a port of a bridge with the gateway's address, as with Docker
// and libvirt.
func attachEndpoint(t *lab.Topology) error {
	const port = "veth-c1"
	if err := lab.Veth(t.Host, port, t.Endpoints[0], endpointLink); err != nil {
		return err
	}
	return bridgeEndpoint(t, port)
}

// bridgeEndpoint is attachEndpoint for a link of the host that leads there.
func bridgeEndpoint(t *lab.Topology, port string) error {
	const bridge = "br0"
	steps := []func() error{
		func() error { return t.Host.AddBridge(bridge, port) },
		func() error { return t.Host.AddAddress(bridge, gateway+"/24") },
		func() error { return addressEndpoint(t) },
		func() error { return t.Host.Sysctl("net/ipv4/ip_forward", "1") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func addressEndpoint(t *lab.Topology) error {
	c := t.Endpoints[0]
	if err := c.AddAddress(endpointLink, endpoint+"/24"); err != nil {
		return err
	}
	return c.AddRoute("0.0.0.0/0", gateway)
}
