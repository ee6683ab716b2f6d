package cni

import (
	"context"
	"errors"
	"slices"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/container"
)

// Owner is that of what hostnat makes for CNI.
const Owner = "cni"

// The labels of what is made for CNI. The first three say which attachment it is.
const (
	LabelNetwork   = "cni.network" // the configuration's name
	LabelContainer = "cni.container"
	LabelIfName    = "cni.ifname"
	LabelName      = "cni.name"      // the pod's
	LabelNamespace = "cni.namespace" // likewise
)

// Daemon is what the plugin needs of hostnat's API: *api.Client.
type Daemon interface {
	Version(ctx context.Context) (api.Version, error)
	Network(ctx context.Context, name string) (api.Network, error)
	CreateNetwork(ctx context.Context, spec api.NetworkSpec) (api.Network, error)
	Endpoints(ctx context.Context, network string) ([]api.Endpoint, error)
	AttachEndpoint(ctx context.Context, spec api.EndpointSpec) (api.Endpoint, error)
	DetachEndpoint(ctx context.Context, name string) error
	Mappings(ctx context.Context) ([]api.Mapping, error)
	AddMapping(ctx context.Context, spec api.MappingSpec) (api.Mapping, error)
	DeleteMapping(ctx context.Context, id uint32) error
}

// Plugin does what runtimes ask for.
type Plugin struct {
	Daemon Daemon
	Gone   func(namespace string) bool // no namespace has that name or path any more
	Flows  func() bool                 // the data path is there, whether a daemon runs or not
	Note   func(message string)        // tells the user something that is no failure
}

// attachment is one link of a container.
type attachment struct{ network, container, ifName string }

func attachmentOf(labels map[string]string) attachment {
	return attachment{labels[LabelNetwork], labels[LabelContainer], labels[LabelIfName]}
}

func (a attachment) labels() map[string]string {
	return map[string]string{LabelNetwork: a.network, LabelContainer: a.container, LabelIfName: a.ifName}
}

// network returns hostnat's network for a configuration, made if it is not there.
func (p *Plugin) network(ctx context.Context, c conf) (api.Network, error) {
	spec := c.spec()
	has, err := p.Daemon.Network(ctx, spec.Name)
	if api.CodeOf(err) == api.NotFound {
		has, err = p.Daemon.CreateNetwork(ctx, spec)
		if api.CodeOf(err) == api.Conflict { // another container's call was before, or the subnet is somebody's
			if again, e := p.Daemon.Network(ctx, spec.Name); e == nil {
				has, err = again, nil
			}
		}
	}
	if err != nil {
		return has, err
	}
	if err := container.Differs(has, spec); err != nil {
		return has, invalid("%v", err)
	}
	return has, nil
}

// remove takes away the endpoints and mappings of the attachments that are meant.
func (p *Plugin) remove(ctx context.Context, all []api.Endpoint, meant func(attachment) bool) error {
	errs := []error{container.Unpublish(ctx, p.Daemon, Owner, func(m api.Mapping) bool { return meant(attachmentOf(m.Labels)) })}
	for _, e := range all {
		if !e.Managed || e.Owner != Owner || !meant(attachmentOf(e.Labels)) {
			continue
		}
		if err := p.Daemon.DetachEndpoint(ctx, e.Name); api.CodeOf(err) != api.NotFound {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// collect takes away what is left of containers that ended without a DEL: a machine
// that was switched off, for one. It returns the endpoints that stay.
func (p *Plugin) collect(ctx context.Context, all []api.Endpoint) []api.Endpoint {
	gone := make(map[attachment]bool)
	left := func(e api.Endpoint) bool {
		return e.Managed && e.Owner == Owner && e.State == api.EndpointAbsent && p.Gone(e.Target)
	}
	for _, e := range all {
		if left(e) {
			gone[attachmentOf(e.Labels)] = true
		}
	}
	if len(gone) == 0 {
		return all
	}
	if err := p.remove(ctx, all, func(a attachment) bool { return gone[a] }); err != nil {
		p.Note("what is left of other containers stays for now: " + err.Error())
		return all
	}
	return slices.DeleteFunc(all, left)
}
