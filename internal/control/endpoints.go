package control

import (
	"context"
	"fmt"
	"time"

	"github.com/hostnat/hostnat/internal/ipam"
	"github.com/hostnat/hostnat/internal/nat"
)

// Endpoints returns the endpoints of a network, of all networks if it is "".
func (c *Control) Endpoints(ctx context.Context, network string) ([]EndpointView, error) {
	config, report := c.inhabited(ctx)
	if network != "" {
		if _, err := config.Network(network); err != nil {
			return nil, err
		}
	}
	facts, err := c.factsOf(ctx, report)
	if err != nil {
		return nil, err
	}
	views := []EndpointView{}
	for _, e := range config.EndpointsOf(network) {
		views = append(views, viewEndpoint(config, report, facts, e))
	}
	for _, e := range config.Learnt {
		if network == "" || e.Network == network {
			views = append(views, viewEndpoint(config, report, facts, e))
		}
	}
	return views, nil
}

// inhabited is snapshot with who is on the bridges at this moment.
func (c *Control) inhabited(ctx context.Context) (nat.Config, Report) {
	c.hear(ctx, true)
	config, report := c.snapshot()
	c.learn(&config)
	return config, report
}

// Endpoint returns the endpoint of that name.
func (c *Control) Endpoint(ctx context.Context, name string) (EndpointView, error) {
	config, report := c.snapshot()
	if e, err := config.Endpoint(name); err != nil || !e.Managed() {
		config, report = c.inhabited(ctx)
	}
	e, err := config.Endpoint(name)
	if err != nil {
		return EndpointView{}, err
	}
	facts, err := c.factsOf(ctx, report)
	if err != nil {
		return EndpointView{}, err
	}
	return viewEndpoint(config, report, facts, e), nil
}

// factsOf returns what the host was at the last Apply, which follows each change
// of it; it is asked only if there was none.
func (c *Control) factsOf(ctx context.Context, report Report) (nat.HostFacts, error) {
	if report.Host.MTU != 0 {
		return report.Host, nil
	}
	return c.kernel.Facts(ctx)
}

// AttachEndpoint attaches an endpoint, with a free address if the spec has
// none. Attaching it again the same way repairs what is missing of it.
func (c *Control) AttachEndpoint(ctx context.Context, spec nat.EndpointSpec) (EndpointView, error) {
	attach := func(config *nat.Config) error {
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		e, err := c.addEndpoint(config, spec, facts)
		if err != nil {
			return err
		}
		return c.kernel.CheckTarget(ctx, e)
	}
	present := func(r Report) error { return r.Absent[spec.Name] }
	if err := c.change(ctx, "attach endpoint "+spec.Name, attach, present); err != nil {
		return EndpointView{}, err
	}
	return c.Endpoint(ctx, spec.Name)
}

// DetachEndpoint detaches an endpoint. Mappings to its name stay, and serve
// again when an endpoint of that name is attached.
func (c *Control) DetachEndpoint(ctx context.Context, name string) error {
	var had nat.Endpoint
	err := c.change(ctx, "detach endpoint "+name, func(config *nat.Config) (err error) {
		had, _ = config.Endpoint(name)
		return config.DetachEndpoint(name)
	}, nil)
	if err != nil {
		return err
	}
	// What it had by DHCP is over too; its address is remembered.
	_, _, err = c.leases.Forget(had.Network, had.Address)
	return err
}

// addEndpoint adds an endpoint, and makes sure that the DHCP server does not
// give its address to a client at the same moment.
func (c *Control) addEndpoint(config *nat.Config, spec nat.EndpointSpec, facts nat.HostFacts) (nat.Endpoint, error) {
	const attempts = 8
	for range attempts {
		next := config.Clone()
		e, err := next.AddEndpoint(spec, facts, ipam.FreeAddress)
		if err != nil {
			return nat.Endpoint{}, err
		}
		n, err := next.Network(e.Network)
		if err != nil {
			return nat.Endpoint{}, err
		}
		// On a link of its own nobody else is given anything.
		if n.Private() || c.leases.Hold(e.Network, e.Address, e.MAC, time.Now()) {
			*config = next
			return e, nil
		}
		c.learn(config) // with the lease that was just given
	}
	return nat.Endpoint{}, nat.Errorf(nat.Conflict, "DHCP clients take each address of network %q that is chosen", spec.Network).WithHint("try again, or give --address")
}

func viewEndpoint(config nat.Config, report Report, facts nat.HostFacts, e nat.Endpoint) EndpointView {
	v := EndpointView{Endpoint: e, MTU: facts.MTU, State: Up, Managed: e.Managed()}
	if report.Absent[e.Name] != nil {
		v.State = Absent
	}
	// The lookup cannot fail: an endpoint goes with its network.
	if n, err := config.Network(e.Network); err == nil {
		v.Gateway, v.PrefixLength, v.MTU = n.Gateway, n.Subnet.Bits(), n.LinkMTU(facts.MTU)
		if n.DNS.On() {
			v.DNS, v.Domain = n.Gateway.String(), n.DomainName()
		}
	}
	if v.Managed && !e.InNamespace() {
		v.Configure = []string{
			"MAC " + string(e.MAC),
			fmt.Sprintf("address %s/%d", e.Address, v.PrefixLength),
			"gateway " + v.Gateway.String(),
			fmt.Sprintf("MTU %d", v.MTU),
		}
		if v.DNS != "" {
			v.Configure = append(v.Configure, "DNS "+v.DNS+", search "+v.Domain)
		}
	}
	return v
}
