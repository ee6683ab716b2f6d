package control

import (
	"context"
	"fmt"

	"github.com/hostnat/hostnat/internal/ipam"
	"github.com/hostnat/hostnat/internal/nat"
)

// Endpoints returns the endpoints of a network, of all networks if it is "".
func (c *Control) Endpoints(ctx context.Context, network string) ([]EndpointView, error) {
	config, report := c.snapshot()
	if network != "" {
		if _, err := config.Network(network); err != nil {
			return nil, err
		}
	}
	facts, err := c.kernel.Facts(ctx)
	if err != nil {
		return nil, err
	}
	views := []EndpointView{}
	for _, e := range config.EndpointsOf(network) {
		views = append(views, viewEndpoint(config, report, facts, e))
	}
	return views, nil
}

// Endpoint returns the endpoint of that name.
func (c *Control) Endpoint(ctx context.Context, name string) (EndpointView, error) {
	config, report := c.snapshot()
	e, err := config.Endpoint(name)
	if err != nil {
		return EndpointView{}, err
	}
	facts, err := c.kernel.Facts(ctx)
	if err != nil {
		return EndpointView{}, err
	}
	return viewEndpoint(config, report, facts, e), nil
}

// AttachEndpoint attaches an endpoint, with a free address if the spec has
// none. Attaching it again the same way repairs what is missing of it.
func (c *Control) AttachEndpoint(ctx context.Context, spec nat.EndpointSpec) (EndpointView, error) {
	attach := func(config *nat.Config) error {
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		e, err := config.AddEndpoint(spec, facts, ipam.FreeAddress)
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
	return c.change(ctx, "detach endpoint "+name, func(config *nat.Config) error {
		return config.DetachEndpoint(name)
	}, nil)
}

func viewEndpoint(config nat.Config, report Report, facts nat.HostFacts, e nat.Endpoint) EndpointView {
	v := EndpointView{Endpoint: e, MTU: facts.MTU, State: Up}
	if report.Absent[e.Name] != nil {
		v.State = Absent
	}
	// The lookup cannot fail: an endpoint goes with its network.
	if n, err := config.Network(e.Network); err == nil {
		v.Gateway, v.PrefixLength = n.Gateway, n.Subnet.Bits()
	}
	if !e.InNamespace() {
		v.Configure = []string{
			"MAC " + string(e.MAC),
			fmt.Sprintf("address %s/%d", e.Address, v.PrefixLength),
			"gateway " + v.Gateway.String(),
			fmt.Sprintf("MTU %d", v.MTU),
		}
	}
	return v
}
