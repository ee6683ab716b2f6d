package driver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

// optionPorts is Docker's key of a container's published ports.
const optionPorts = "com.docker.network.portmap"

// protocols are those of published ports, by IP's numbers.
var protocols = map[uint8]string{6: "tcp", 17: "udp"}

// published are the mappings that make a container's ports reachable: for each one the
// specs that will do, the best first.
func published(options map[string]json.RawMessage, endpoint, id string) (choices [][]api.MappingSpec, err error) {
	var bindings []portBinding
	if text, has := options[optionPorts]; has {
		if err := json.Unmarshal(text, &bindings); err != nil {
			return nil, fmt.Errorf("the published ports cannot be read: %w", err)
		}
	}
	spec := func(protocol, external, internal string) api.MappingSpec {
		return api.MappingSpec{
			Protocol: protocol, External: external, Internal: endpoint + ":" + internal,
			Owner: docker.DriverOwner, Labels: map[string]string{docker.LabelEndpoint: id},
		}
	}
	var fixed []docker.Port
	for _, b := range bindings {
		protocol, known := protocols[b.Proto]
		host, hostErr := netip.ParseAddr(cmp.Or(b.HostIP, "0.0.0.0"))
		internal, last := fmt.Sprint(b.Port), max(b.HostPort, b.HostPortEnd)
		switch {
		case !known:
			return nil, fmt.Errorf("port %d: only tcp and udp ports can be published", b.Port)
		case hostErr != nil || !host.Unmap().Is4():
			return nil, fmt.Errorf("port %d: address %s is not one of IPv4, and others cannot be published yet", b.Port, b.HostIP)
		case b.HostPort == 0 && host.IsUnspecified():
			choices = append(choices, []api.MappingSpec{spec(protocol, "", internal)})
		case b.HostPort == 0:
			return nil, fmt.Errorf("port %d on address %s: say which port of the host, or leave the address out", b.Port, host)
		case b.HostPort == last:
			fixed = append(fixed, docker.Port{Protocol: protocol, Host: host, Public: b.HostPort, Private: b.Port})
		default:
			var any []api.MappingSpec
			for p := int(b.HostPort); p <= int(last); p++ {
				any = append(any, spec(protocol, fmt.Sprintf("%s:%d", host, p), internal))
			}
			choices = append(choices, any)
		}
	}
	for _, row := range docker.Rows(fixed) {
		choices = append(choices, []api.MappingSpec{spec(row.Protocol, row.External(), row.Internal())})
	}
	return choices, nil
}

// publish publishes a container's ports: all, or none.
func (d *Driver) publish(ctx context.Context, r endpointCall) (nothing, error) {
	e, found, err := d.endpointOf(ctx, "", r.EndpointID)
	if err == nil && !found {
		err = fmt.Errorf("hostnat has no endpoint %s: start the container again", shortID(r.EndpointID))
	}
	if err != nil {
		return nothing{}, err
	}
	choices, err := published(r.Options, e.Name, r.EndpointID)
	if err != nil {
		return nothing{}, err
	}
	has, err := d.daemon.Mappings(ctx)
	if err != nil {
		return nothing{}, err
	}
	for _, choice := range choices {
		if err := d.publishOne(ctx, has, choice); err != nil {
			return nothing{}, errors.Join(err, d.unpublish(context.WithoutCancel(ctx), r.EndpointID))
		}
	}
	return nothing{}, nil
}

// publishOne makes the first mapping of several that can be, unless one of them is there.
func (d *Driver) publishOne(ctx context.Context, has []api.Mapping, choice []api.MappingSpec) (err error) {
	for _, m := range has {
		for _, s := range choice {
			if isOf(m, s) {
				return nil
			}
		}
	}
	for _, s := range choice {
		if _, err = d.daemon.AddMapping(ctx, s); api.CodeOf(err) != api.Conflict {
			return err
		}
	}
	return err
}

// isOf reports whether a mapping was made by a call before.
func isOf(m api.Mapping, s api.MappingSpec) bool {
	if m.Owner != s.Owner || m.Labels[docker.LabelEndpoint] != s.Labels[docker.LabelEndpoint] || string(m.Protocol) != s.Protocol || len(m.Targets) != 1 {
		return false
	}
	_, has, _ := strings.Cut(m.Targets[0].Internal, ":")
	_, asked, _ := strings.Cut(s.Internal, ":")
	return has == asked && (s.External == "" || s.External == m.External)
}
