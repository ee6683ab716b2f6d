package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/ipam"
	"github.com/hostnat/hostnat/internal/model"
)

// Endpoints returns the endpoints of a network, of all networks if it is "".
func (c *Control) Endpoints(ctx context.Context, network string) ([]EndpointView, error) {
	cfg, report := c.inhabited(ctx)
	if network != "" {
		if _, err := cfg.Network(network); err != nil {
			return nil, err
		}
	}
	facts, err := c.factsOf(ctx, report)
	if err != nil {
		return nil, err
	}
	views := []EndpointView{}
	idle := c.idleTAPs(ctx, cfg.Endpoints)
	for _, e := range cfg.EndpointsOf(network) {
		views = append(views, viewEndpoint(cfg, report, facts, e).withIdle(idle))
	}
	for _, e := range cfg.Discovered {
		if network == "" || e.Network == network {
			views = append(views, viewEndpoint(cfg, report, facts, e))
		}
	}
	return views, nil
}

// inhabited is snapshot with who is on the bridges at this moment.
func (c *Control) inhabited(ctx context.Context) (config.Config, Report) {
	c.observe(ctx, true)
	cfg, report := c.snapshot()
	c.discover(&cfg)
	return cfg, report
}

// Endpoint returns the endpoint of that name, or of that alias.
func (c *Control) Endpoint(ctx context.Context, name string) (EndpointView, error) {
	cfg, report := c.snapshot()
	if e, err := cfg.Called(name); err != nil || !e.Managed() {
		cfg, report = c.inhabited(ctx)
	}
	e, err := cfg.Called(name)
	if err != nil {
		return EndpointView{}, err
	}
	facts, err := c.factsOf(ctx, report)
	if err != nil {
		return EndpointView{}, err
	}
	return viewEndpoint(cfg, report, facts, e).withIdle(c.idleTAPs(ctx, []model.Endpoint{e})), nil
}

// idleTAPs are those that no program has open, if there are endpoints with TAPs. Where they
// cannot be seen, there is none.
func (c *Control) idleTAPs(ctx context.Context, endpoints []model.Endpoint) map[string]bool {
	if !slices.ContainsFunc(endpoints, func(e model.Endpoint) bool { return e.Managed() && !e.InNamespace() }) {
		return nil
	}
	idle, err := c.host.IdleTAPs(ctx)
	if err != nil {
		c.log.Debug("the host's TAPs cannot be seen", "error", err)
	}
	return idle
}

func (v EndpointView) withIdle(idle map[string]bool) EndpointView {
	if v.State == Up && v.Managed && idle[v.Interface] {
		v.State = Idle
	}
	return v
}

// idleWarning names the endpoints whose TAPs no program has open, on one line.
func (c *Control) idleWarning(ctx context.Context, endpoints []model.Endpoint) []string {
	idle := c.idleTAPs(ctx, endpoints)
	var names []string
	for _, e := range endpoints {
		if !e.InNamespace() && idle[e.Interface] {
			names = append(names, e.Name)
		}
	}
	const most = 5
	switch count := len(names); {
	case count == 0:
		return nil
	case count > most:
		names = append(names[:most], fmt.Sprintf("and %d more", count-most))
	}
	return []string{"no program has the TAP open of: " + strings.Join(names, ", ") + "; start its VM, or 'hostnat endpoint detach NAME'"}
}

// factsOf returns what the host was at the last Apply, which follows each change
// of it; it is asked only if there was none.
func (c *Control) factsOf(ctx context.Context, report Report) (model.HostFacts, error) {
	if report.Host.MTU != 0 {
		return report.Host, nil
	}
	return c.host.Facts(ctx)
}

// AttachEndpoint attaches an endpoint, with a free address if the spec has
// none. Attaching it again the same way repairs what is missing of it.
func (c *Control) AttachEndpoint(ctx context.Context, spec config.EndpointSpec) (EndpointView, error) {
	attach := func(cfg *config.Config) error {
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		spec, err := c.asItIs(ctx, cfg, spec)
		if err != nil {
			return err
		}
		e, err := c.addEndpoint(cfg, spec, facts)
		if err != nil {
			return err
		}
		return c.host.CheckTarget(ctx, e)
	}
	present := func(r Report) error { return r.Absent[spec.Name] }
	if err := c.change(ctx, "attach endpoint "+spec.Name, attach, present); err != nil {
		return EndpointView{}, err
	}
	return c.Endpoint(ctx, spec.Name)
}

// asItIs has an endpoint that is attached by a link keep the MAC that the machine
// behind it has: a VM that runs does not take another one. With it goes what it has
// by DHCP, or has set by hand.
func (c *Control) asItIs(ctx context.Context, cfg *config.Config, spec config.EndpointSpec) (config.EndpointSpec, error) {
	port := cmp.Or(spec.TAP, spec.Port)
	attached := slices.ContainsFunc(cfg.Endpoints, func(e model.Endpoint) bool { return e.Name == spec.Name })
	if port == "" || spec.Make.Made || spec.MAC != "" || attached {
		return spec, nil
	}
	mac, known, err := c.host.Station(ctx, port)
	if known {
		spec.MAC = string(mac)
		c.observe(ctx, true)
		c.discover(cfg)
	}
	return spec, err
}

// SetEndpoint changes settings of an endpoint: all of them or, if one is refused, none.
func (c *Control) SetEndpoint(ctx context.Context, name string, values map[string]string) (EndpointView, error) {
	err := c.change(ctx, "set endpoint "+name, func(cfg *config.Config) error {
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		_, err = cfg.SetEndpoint(name, values, facts)
		return err
	}, nil)
	if err != nil {
		return EndpointView{}, err
	}
	return c.Endpoint(ctx, name)
}

// DetachEndpoint detaches an endpoint. Mappings to its name stay, and serve
// again when an endpoint of that name is attached.
func (c *Control) DetachEndpoint(ctx context.Context, name string) error {
	var had model.Endpoint
	err := c.change(ctx, "detach endpoint "+name, func(cfg *config.Config) (err error) {
		had, _ = cfg.Endpoint(name)
		return cfg.DetachEndpoint(name)
	}, nil)
	if err != nil {
		return err
	}
	// What it had by DHCP is over too; its address is remembered.
	_, _, err = c.leases.Forget(had.Network, had.Address4())
	return err
}

// addEndpoint adds an endpoint, and makes sure that the DHCP server does not
// give its address to a client at the same moment.
func (c *Control) addEndpoint(cfg *config.Config, spec config.EndpointSpec, facts model.HostFacts) (model.Endpoint, error) {
	const attempts = 8
	for range attempts {
		next := cfg.Clone()
		e, err := next.AddEndpoint(spec, facts, ipam.FreeAddress)
		if err != nil {
			return model.Endpoint{}, err
		}
		n, err := next.Network(e.Network)
		if err != nil {
			return model.Endpoint{}, err
		}
		// On a link of its own nobody else is given anything.
		if n.PerEndpoint() || c.leases.Hold(e.Network, e.Address4(), e.MAC, time.Now()) {
			*cfg = next
			return e, nil
		}
		c.discover(cfg) // with the lease that was just given
	}
	return model.Endpoint{}, model.Errorf(model.Conflict, "DHCP clients take each address of network %q that is chosen", spec.Network).WithHint("try again, or give --address")
}

func viewEndpoint(cfg config.Config, report Report, facts model.HostFacts, e model.Endpoint) EndpointView {
	v := EndpointView{Endpoint: e, MTU: facts.MTU, State: Up, Managed: e.Managed()}
	if report.Absent[e.Name] != nil {
		v.State = Absent
	}
	// The lookup cannot fail: an endpoint goes with its network.
	if n, err := cfg.Network(e.Network); err == nil {
		v.Gateway, v.PrefixLength, v.MTU = n.Gateway4(), n.Subnet4().Bits(), n.LinkMTU(facts.MTU)
		if n.DNS.On() {
			v.DNS, v.Domain = n.Gateway4(), n.DomainName()
		}
	}
	if v.Managed && (!e.InNamespace() || e.TAP.Made) {
		v.Configure = []string{
			"MAC " + string(e.MAC),
			fmt.Sprintf("address %s/%d", e.Address4(), v.PrefixLength),
			"gateway " + v.Gateway.String(),
			fmt.Sprintf("MTU %d", v.MTU),
		}
		if v.DNS.IsValid() {
			v.Configure = append(v.Configure, "DNS "+v.DNS.String()+", search "+v.Domain)
		}
	}
	return v
}
