package driver

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/container"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

// attachment is the endpoint for one of Docker's. Its name is part of Docker's id:
// Docker does not pass the container's, which the follower adds as an alias.
func attachment(network string, r createEndpoint) (api.EndpointSpec, error) {
	spec := api.EndpointSpec{
		Network: network, Name: "docker-" + shortID(r.EndpointID), Pair: true,
		Owner: docker.DriverOwner, Labels: map[string]string{docker.LabelEndpoint: r.EndpointID},
	}
	if r.Interface == nil {
		return spec, nil
	}
	if r.Interface.AddressIPv6 != "" {
		return spec, fmt.Errorf("networks of hostnat have no IPv6 yet: leave --ip6 out")
	}
	spec.MAC = r.Interface.MacAddress
	if r.Interface.Address != "" {
		address, err := netip.ParsePrefix(r.Interface.Address)
		if err != nil {
			return spec, fmt.Errorf("the endpoint's address %q cannot be read: %w", r.Interface.Address, err)
		}
		spec.Addresses = []string{address.Addr().String()}
	}
	return spec, nil
}

// createEndpoint attaches a container's link, whose other end Docker takes later.
// It answers with what Docker has not said.
func (d *Driver) createEndpoint(ctx context.Context, r createEndpoint) (createdEndpoint, error) {
	n, err := d.networkThere(ctx, r.NetworkID)
	if err != nil {
		return createdEndpoint{}, err
	}
	spec, err := attachment(n.Name, r)
	if err != nil {
		return createdEndpoint{}, err
	}
	e, err := d.daemon.AttachEndpoint(ctx, spec) // a second time it changes nothing
	if err != nil {
		return createdEndpoint{}, err
	}
	d.give(n.Labels[labelPool], e.Addresses)
	var answer link
	if spec.MAC == "" {
		answer.MacAddress = e.MAC
	}
	if len(spec.Addresses) == 0 {
		answer.Address = netip.PrefixFrom(e.Addresses[0], e.Subnets[0].Bits()).String()
	}
	return createdEndpoint{&answer}, nil
}

// networkThere is networkOf where it is an error if there is none.
func (d *Driver) networkThere(ctx context.Context, id string) (api.Network, error) {
	n, found, err := d.networkOf(ctx, id)
	if err == nil && !found {
		err = fmt.Errorf("hostnat has no network for Docker's network %s any more: remove it and create it again", shortID(id))
	}
	return n, err
}

// join says which link of the host is the container's.
func (d *Driver) join(ctx context.Context, r endpointCall) (joined, error) {
	n, err := d.networkThere(ctx, r.NetworkID)
	if err != nil {
		return joined{}, err
	}
	e, found, err := d.endpointOf(ctx, n.Name, r.EndpointID)
	if err != nil {
		return joined{}, err
	}
	if !found {
		return joined{}, fmt.Errorf("hostnat has no endpoint %s on network %s: start the container again", shortID(r.EndpointID), n.Name)
	}
	// Neither: Docker would add a way out of its own, past hostnat (docker_gwbridge).
	answer := joined{InterfaceName: names{SrcName: e.Target, DstPrefix: "eth"}, DisableGatewayService: n.NAT == "none"}
	if n.NAT != "none" {
		answer.Gateway = e.Gateways[0].String()
	}
	return answer, nil
}

// leave takes the container's published ports away: after a restart of Docker's with
// live-restore no other call does.
func (d *Driver) leave(ctx context.Context, r endpointCall) (nothing, error) {
	return nothing{}, d.unpublish(ctx, r.EndpointID)
}

func (d *Driver) unpublish(ctx context.Context, id string) error {
	return container.Unpublish(ctx, d.daemon, docker.DriverOwner, func(m api.Mapping) bool { return m.Labels[docker.LabelEndpoint] == id })
}

func (d *Driver) deleteEndpoint(ctx context.Context, r endpointCall) (nothing, error) {
	if err := d.unpublish(ctx, r.EndpointID); err != nil {
		return nothing{}, err
	}
	e, found, err := d.endpointOf(ctx, "", r.EndpointID)
	if err != nil || !found {
		return nothing{}, err
	}
	return nothing{}, ignoreGone(d.daemon.DetachEndpoint(ctx, e.Name))
}
