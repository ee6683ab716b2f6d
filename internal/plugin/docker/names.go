package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/hostnat/hostnat/api"
)

// leftAfter is how long an endpoint of the driver's may be that of no container: Docker
// makes the endpoint before the container runs.
const leftAfter = 2 * time.Minute

// Names are what the driver's endpoints need of who follows Docker: it is not told whose
// they are.
type Names struct {
	Aliases map[string][]string // by endpoint, where it has others
	Unknown []string            // endpoints that are no running container's
}

// PlanNames gives each of the driver's endpoints the names that its container has. aliases
// are these, by Docker's ids of endpoints.
func PlanNames(aliases map[string][]string, has []api.Endpoint) Names {
	p := Names{Aliases: make(map[string][]string)}
	for _, e := range has {
		id := e.Labels[LabelEndpoint]
		if e.Owner != DriverOwner || id == "" {
			continue
		}
		want, runs := aliases[id]
		switch {
		case !runs:
			p.Unknown = append(p.Unknown, e.Name)
		case !slices.Equal(want, e.Aliases):
			p.Aliases[e.Name] = want
		}
	}
	return p
}

// name carries PlanNames out, and takes away what has been no container's for long: its
// end came while no hostnat ran.
func (f *Follower) name(ctx context.Context, e *Engine, has State) (errs []error) {
	ours := make(map[string]bool)
	for _, e := range has.Endpoints {
		if id := e.Labels[LabelEndpoint]; e.Owner == DriverOwner && id != "" {
			ours[id] = true
		}
	}
	if len(ours) == 0 {
		f.unknown, f.called = nil, nil
		return nil
	}
	aliases, err := f.driverAliases(ctx, e, ours)
	if err != nil {
		return []error{err}
	}
	p := PlanNames(aliases, has.Endpoints)
	for name, list := range p.Aliases {
		if _, err := f.options.Daemon.SetEndpoint(ctx, name, map[string]string{"aliases": listed(list)}); err != nil && api.CodeOf(err) != api.NotFound {
			errs = append(errs, fmt.Errorf("name endpoint %s: %w", name, err))
		}
	}
	since := make(map[string]time.Time)
	for _, name := range p.Unknown {
		since[name] = time.Now()
		if before, known := f.unknown[name]; known {
			since[name] = before
		}
		if time.Since(since[name]) > leftAfter {
			errs = append(errs, f.forget(ctx, name, has))
		}
	}
	f.unknown = since
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// listed are aliases as SetEndpoint takes them.
func listed(aliases []string) string {
	if len(aliases) == 0 {
		return "none"
	}
	return strings.Join(aliases, ",")
}

// forget detaches one of the driver's endpoints, with its mappings.
func (f *Follower) forget(ctx context.Context, name string, has State) error {
	var errs []error
	for _, m := range has.Mappings {
		if m.Owner == DriverOwner && len(m.Targets) == 1 && m.Targets[0].Endpoint == name {
			errs = append(errs, f.options.Daemon.DeleteMapping(ctx, m.ID))
		}
	}
	errs = append(errs, f.options.Daemon.DetachEndpoint(ctx, name))
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return api.CodeOf(err) == api.NotFound })...)
}

// called is how a container was called when it was asked for an endpoint's names.
type called struct {
	name    string
	aliases []string
}

// driverAliases are the names of containers that run, by the ids of their endpoints: their
// own, and those that Docker's DNS has for them. A container is asked once, and again
// when it has another name.
func (f *Follower) driverAliases(ctx context.Context, e *Engine, ours map[string]bool) (map[string][]string, error) {
	running, err := e.c.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Docker's containers: %w", err)
	}
	aliases, known := make(map[string][]string), make(map[string]called)
	for _, s := range running.Items {
		c := containerFrom(s, nil)
		if s.NetworkSettings == nil {
			continue
		}
		for network, at := range s.NetworkSettings.Networks {
			if at == nil || !ours[at.EndpointID] {
				continue
			}
			is, asked := f.called[at.EndpointID]
			if !asked || is.name != c.Name {
				p, err := e.Process(ctx, c.ID)
				if isNotFound(err) {
					continue
				}
				if err != nil {
					return nil, err
				}
				given := slices.DeleteFunc(p.Aliases[network], func(name string) bool { return name == shortID(c.ID) }) // Docker adds that one
				is = called{c.Name, dnsNames(append([]string{c.Name}, given...))}
			}
			known[at.EndpointID], aliases[at.EndpointID] = is, is.aliases
		}
	}
	f.called = known
	return aliases, nil
}

// dnsNames are those that can be names in DNS, in lower case, sorted, each once.
func dnsNames(all []string) []string {
	list := []string{}
	for _, name := range all {
		if name = strings.ToLower(name); isLabel(name) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
