package cni

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/ns"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/hostnat/hostnat/api"
)

// Add connects a container to a network. If anything fails, nothing stays.
func (p *Plugin) Add(ctx context.Context, r *skel.CmdArgs) (*types100.Result, error) {
	c, err := parse(r.StdinData)
	if err != nil {
		return nil, err
	}
	if c.RawPrevResult != nil {
		return nil, invalid("it makes the container's link, so it comes first in the list of plugins")
	}
	var env envArgs
	if err := types.LoadArgs(r.Args, &env); err != nil {
		return nil, types.NewError(types.ErrInvalidEnvironmentVariables, "hostnat: CNI_ARGS cannot be read", err.Error())
	}
	if own, err := ns.CheckNetNS(r.Netns); err != nil || own {
		return nil, types.NewError(types.ErrInvalidNetNS, "hostnat: CNI_NETNS is the host's own namespace", r.Netns)
	}
	if _, err := published(c.Runtime.PortMappings, ""); err != nil {
		return nil, err
	}
	n, err := p.network(ctx, c)
	if err != nil {
		return nil, err
	}
	if n.NAT == "none" && slices.ContainsFunc(c.Runtime.PortMappings, func(m portMapping) bool { return m.Host != 0 }) {
		return nil, invalid("network %s is behind no NAT: ports cannot be published; leave them out, or use a network with one", n.Name)
	}
	a := attachment{network: c.Name, container: r.ContainerID, ifName: r.IfName}
	e, err := p.attach(ctx, r, c, env, a)
	if err != nil {
		return nil, err
	}
	if err := p.publish(ctx, c, a, e.Name); err != nil {
		only := func(is attachment) bool { return is == a }
		return nil, errors.Join(err, p.remove(context.WithoutCancel(ctx), []api.Endpoint{e}, only))
	}
	return resultOf(c, r, e), nil
}

// attach attaches the container under a name that is free.
func (p *Plugin) attach(ctx context.Context, r *skel.CmdArgs, c conf, env envArgs, a attachment) (api.Endpoint, error) {
	all, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return api.Endpoint{}, err
	}
	all = p.collect(ctx, all)
	if slices.ContainsFunc(all, func(e api.Endpoint) bool { return e.Owner == Owner && attachmentOf(e.Labels) == a }) {
		return api.Endpoint{}, types.NewError(codeRefused, "hostnat: container "+a.container+" has "+a.ifName+" on network "+a.network+" already", "call DEL before ADD")
	}
	spec := api.EndpointSpec{Network: c.Network, Netns: r.Netns, IfName: r.IfName, Owner: Owner, Labels: a.labels()}
	for label, value := range map[string]types.UnmarshallableString{LabelName: env.K8S_POD_NAME, LabelNamespace: env.K8S_POD_NAMESPACE} {
		if value != "" {
			spec.Labels[label] = string(value)
		}
	}
	spec.MAC = cmp.Or(c.Runtime.MAC, c.Args.CNI.MAC, string(env.MAC))
	spec.Addresses = addresses(c, env)
	aliases := c.Runtime.Aliases[c.Name]
	for _, name := range names(env, a) {
		if taken(all, name) {
			aliases = append(aliases, names(env, a)[0]) // in DNS it has its own name, if that is free on its network
			continue
		}
		spec.Name, spec.Aliases = name, free(all, c.Network, name, aliases)
		e, err := p.Daemon.AttachEndpoint(ctx, spec)
		if api.CodeOf(err) != api.Conflict {
			return e, err
		}
		// Another container's call may have taken the name meanwhile.
		now, listErr := p.Daemon.Endpoints(ctx, "")
		if listErr != nil || !taken(now, name) {
			return e, err
		}
		all = now
	}
	return api.Endpoint{}, types.NewError(codeRefused, "hostnat: each name for container "+a.container+" is taken", strings.Join(names(env, a), ", "))
}

// names are what the endpoint may be called, the best first.
func names(env envArgs, a attachment) []string {
	short := a.container[:min(len(a.container), 12)]
	if pod := string(env.K8S_POD_NAME); pod != "" {
		list := []string{pod, pod + "." + a.network}
		if space := string(env.K8S_POD_NAMESPACE); space != "" && space != pod {
			list = append(list, pod+"."+space)
		}
		return append(list, pod+"."+short, a.container+"."+a.ifName)
	}
	return []string{short, a.container, a.container + "." + a.ifName}
}

func taken(all []api.Endpoint, name string) bool {
	return slices.ContainsFunc(all, func(e api.Endpoint) bool { return e.Managed && strings.EqualFold(e.Name, name) })
}

// free are the aliases that are nobody's own name on the network.
func free(all []api.Endpoint, network, name string, aliases []string) (list []string) {
	for _, alias := range aliases {
		other := func(e api.Endpoint) bool { return e.Network == network && strings.EqualFold(e.Name, alias) }
		if !strings.EqualFold(alias, name) && !slices.ContainsFunc(all, other) && !slices.Contains(list, alias) {
			list = append(list, alias)
		}
	}
	return list
}

// addresses are those that are asked for, without their prefix lengths, which are the
// network's business.
func addresses(c conf, env envArgs) (list []string) {
	asked := c.Runtime.IPs
	if len(asked) == 0 {
		asked = c.Args.CNI.IPs
	}
	if len(asked) == 0 && env.IP != "" {
		asked = []string{string(env.IP)}
	}
	for _, text := range asked {
		address, _, _ := strings.Cut(text, "/")
		list = append(list, address)
	}
	return list
}

// publish makes the mappings of the container's published ports.
func (p *Plugin) publish(ctx context.Context, c conf, a attachment, endpoint string) error {
	specs, err := published(c.Runtime.PortMappings, endpoint)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		spec.Labels = a.labels()
		if _, err := p.Daemon.AddMapping(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}
