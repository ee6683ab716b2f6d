package podman

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/container"
)

// Setup connects a container to a network: what was left of it goes first. If
// anything fails, nothing stays.
func (p *Plugin) Setup(ctx context.Context, netns string, c Container) (Status, error) {
	spec, err := networkSpec(c.Network)
	if err != nil {
		return Status{}, err
	}
	if err := checkPorts(c.Ports); err != nil {
		return Status{}, err
	}
	if err := p.collect(ctx, c.Network.Name); err != nil {
		p.Note(fmt.Sprintf("what is left of other containers stays for now: %v", err))
	}
	n, err := p.network(ctx, spec, false)
	if err != nil {
		return Status{}, err
	}
	if err := p.Teardown(ctx, c); err != nil {
		return Status{}, fmt.Errorf("take away what is left of the container: %w", err)
	}
	e, err := p.attach(ctx, netns, c)
	if err == nil {
		err = p.publish(ctx, c, n, e.Name)
	}
	if err != nil {
		return Status{}, errors.Join(err, p.Teardown(context.WithoutCancel(ctx), c))
	}
	return statusOf(e), nil
}

// checkPorts refuses what no mapping can be.
func checkPorts(ports []PortMapping) error {
	for _, port := range ports {
		for _, protocol := range port.protocols() {
			if protocol != "tcp" && protocol != "udp" {
				return fmt.Errorf("port %d: %s ports cannot be published; use tcp or udp", port.Host, protocol)
			}
		}
		if a, err := netip.ParseAddr(port.HostIP); port.HostIP != "" && (err != nil || !a.Is4()) {
			return fmt.Errorf("port %d: address %s is not one of IPv4, and others cannot be published yet", port.Host, port.HostIP)
		}
	}
	return nil
}

func (p PortMapping) protocols() []string {
	if p.Protocol == "" {
		return []string{"tcp"}
	}
	return strings.Split(p.Protocol, ",")
}

// attach attaches the container. Its endpoint has its name, or, where it has one
// already, that with the network's; on the network it has its own in any case.
func (p *Plugin) attach(ctx context.Context, netns string, c Container) (api.Endpoint, error) {
	all, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return api.Endpoint{}, err
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(all, func(e api.Endpoint) bool { return e.Managed && strings.EqualFold(e.Name, name) })
	}
	spec := api.EndpointSpec{
		Network: c.Network.Name, Name: c.Name, Netns: netns, Addresses: c.Options.Addresses, MAC: c.Options.MAC, IfName: c.Options.Interface,
		Labels: map[string]string{LabelContainer: c.ID, LabelName: c.Name}, Owner: Owner,
	}
	aliases := c.Options.Aliases
	for _, name := range []string{c.Name + "." + c.Network.Name, c.Name + "." + c.ID[:min(len(c.ID), 12)], c.ID} {
		if taken(spec.Name) {
			spec.Name, aliases = name, append(slices.Clone(c.Options.Aliases), c.Name)
		}
	}
	here := slices.DeleteFunc(all, func(e api.Endpoint) bool { return e.Network != c.Network.Name })
	for _, alias := range aliases { // one that is another's own name there is that one's
		other := func(e api.Endpoint) bool { return strings.EqualFold(e.Name, alias) }
		if !strings.EqualFold(alias, spec.Name) && !slices.ContainsFunc(here, other) {
			spec.Aliases = append(spec.Aliases, alias)
		}
	}
	return p.Daemon.AttachEndpoint(ctx, spec)
}

// publish makes the mappings of the container's published ports, unless it has them
// by another network. Podman itself listens on them meanwhile, to keep them.
func (p *Plugin) publish(ctx context.Context, c Container, n api.Network, endpoint string) error {
	if len(c.Ports) == 0 {
		return nil
	}
	if n.NAT == "none" {
		p.Note(fmt.Sprintf("network %s is behind no NAT: its containers' ports are not published by it", n.Name))
		return nil
	}
	mappings, err := p.Daemon.Mappings(ctx)
	if err != nil {
		return err
	}
	for _, m := range mappings {
		if m.Owner == Owner && m.Labels[LabelContainer] == c.ID {
			return nil
		}
	}
	for _, port := range c.Ports {
		for _, protocol := range port.protocols() {
			_, err := p.Daemon.AddMapping(ctx, api.MappingSpec{
				Protocol: protocol, External: port.external(), Internal: port.internal(endpoint), Force: true,
				Labels: map[string]string{LabelContainer: c.ID, LabelName: c.Name}, Owner: Owner,
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func statusOf(e api.Endpoint) Status {
	s := Status{SearchDomains: []string{}, DNSServers: []string{}, Interfaces: map[string]Interface{}}
	for _, a := range e.DNS {
		s.DNSServers = append(s.DNSServers, a.String())
	}
	if len(e.DNS) > 0 && e.Domain != "" {
		s.SearchDomains = append(s.SearchDomains, e.Domain)
	}
	link := Interface{MAC: e.MAC, Subnets: []Address{}}
	for i, a := range e.Addresses {
		link.Subnets = append(link.Subnets, Address{IPNet: netip.PrefixFrom(a, e.Subnets[i].Bits()).String(), Gateway: e.Gateways[i].String()})
	}
	s.Interfaces[e.IfName] = link
	return s
}

// Teardown takes a container from a network, whatever is left of it. Ports that
// were published by that network are published by another one that it is in.
func (p *Plugin) Teardown(ctx context.Context, c Container) error {
	all, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return err
	}
	gone, other := make(map[string]bool), (*api.Endpoint)(nil)
	for i := range all {
		switch e := &all[i]; {
		case !e.Managed || e.Owner != Owner || e.Labels[LabelContainer] != c.ID:
		case e.Network == c.Network.Name:
			gone[e.Name] = true
		case e.State == api.EndpointUp && other == nil:
			other = e
		}
	}
	if len(gone) == 0 {
		return nil
	}
	errs := []error{p.unpublish(ctx, gone)}
	for name := range gone {
		if err := p.Daemon.DetachEndpoint(ctx, name); api.CodeOf(err) != api.NotFound {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil || other == nil {
		return err
	}
	return p.republish(ctx, c, *other)
}

// unpublish deletes the mappings to endpoints.
func (p *Plugin) unpublish(ctx context.Context, gone map[string]bool) error {
	leads := func(t api.Target) bool { return gone[t.Endpoint] }
	return container.Unpublish(ctx, p.Daemon, Owner, func(m api.Mapping) bool { return slices.ContainsFunc(m.Targets, leads) })
}

// republish makes the mappings to another endpoint of the container.
func (p *Plugin) republish(ctx context.Context, c Container, e api.Endpoint) error {
	networks, err := p.Daemon.Networks(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(networks, func(n api.Network) bool { return n.Name == e.Network })
	if i < 0 || networks[i].NAT == "none" {
		return nil
	}
	return p.publish(ctx, c, networks[i], e.Name)
}
