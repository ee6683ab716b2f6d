package docker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hostnat/hostnat/api"
)

// LabelName is that of an endpoint that a person has attached to a container: the
// container's name.
const LabelName = "docker.name"

// AttachTo fills in what an endpoint is attached to: a container that runs.
func (e *Engine) AttachTo(ctx context.Context, spec *api.EndpointSpec, name string) (Process, error) {
	p, err := e.Process(ctx, name)
	if err != nil {
		return p, err
	}
	if p.PID == 0 {
		return p, fmt.Errorf("container %s does not run: start it first", p.Name)
	}
	if spec.Labels == nil {
		spec.Labels = make(map[string]string)
	}
	spec.PID = strconv.Itoa(p.PID)
	spec.Labels[LabelName], spec.Labels[LabelHost] = p.Name, e.host
	return p, nil
}

// Reattached is an endpoint as it is to be attached after its container's restart;
// the second result is false if nothing is to be done.
func Reattached(e api.Endpoint, p Process) (api.EndpointSpec, bool) {
	pid := strconv.Itoa(p.PID)
	if p.PID == 0 || e.Target == pid && e.State == api.EndpointUp {
		return api.EndpointSpec{}, false
	}
	spec := api.EndpointSpec{
		Network: e.Network, Name: e.Name, PID: pid, MAC: e.MAC, IfName: e.IfName, Aliases: e.Aliases, Labels: e.Labels, Owner: e.Owner,
	}
	for _, a := range e.Addresses {
		spec.Addresses = append(spec.Addresses, a.String())
	}
	return spec, true
}

// reattach attaches what people have attached to containers by name, and which has
// another process now.
func (f *Follower) reattach(ctx context.Context, engine *Engine, has State) (errs []error) {
	for _, e := range has.Endpoints {
		name := e.Labels[LabelName]
		if name == "" || e.Owner == Owner || e.Kind != api.KindPID {
			continue
		}
		p, err := engine.Process(ctx, name)
		if isNotFound(err) {
			continue // another one of that name may come
		}
		if err == nil {
			err = f.reattachOne(ctx, e, p, has.Networks)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s of container %s: %w", e.Name, name, err))
		}
	}
	return errs
}

func (f *Follower) reattachOne(ctx context.Context, e api.Endpoint, p Process, networks []api.Network) error {
	spec, needed := Reattached(e, p)
	if !needed {
		return nil
	}
	if err := f.options.Daemon.DetachEndpoint(ctx, e.Name); err != nil && api.CodeOf(err) != api.NotFound {
		return err
	}
	if _, err := f.options.Daemon.AttachEndpoint(ctx, spec); err != nil {
		return err
	}
	for _, n := range networks {
		if n.Name == e.Network && !p.OwnDNS {
			return TellResolver(p.ResolvConf, n)
		}
	}
	return nil
}
