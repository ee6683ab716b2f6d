package podman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/regular"
)

// DefaultFiles is where Podman keeps the files of its networks when root runs it.
const DefaultFiles = "/etc/containers/networks"

// Collected is what Collect has taken away.
type Collected struct {
	Endpoints []string `json:"endpoints"` // of containers that ended without a teardown
	Networks  []string `json:"networks"`  // that Podman has no more
}

// Collect takes away what hostnat has for Podman and Podman has no more: endpoints
// whose namespace is gone, with their mappings, and networks without a file. There
// is no call when Podman removes a network.
func (p *Plugin) Collect(ctx context.Context) (done Collected, err error) {
	done = Collected{Endpoints: []string{}, Networks: []string{}}
	has, err := p.files()
	if err != nil {
		return done, err
	}
	all, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return done, err
	}
	gone, used := make(map[string]bool), make(map[string]bool)
	for _, e := range all {
		if e.Managed && e.Owner == Owner && e.State == api.EndpointAbsent {
			gone[e.Name] = true
		} else {
			used[e.Network] = true
		}
	}
	if len(gone) > 0 {
		err = p.unpublish(ctx, gone)
	}
	errs := []error{err}
	for _, e := range all {
		if !gone[e.Name] {
			continue
		}
		if err := p.Daemon.DetachEndpoint(ctx, e.Name); err != nil && api.CodeOf(err) != api.NotFound {
			errs = append(errs, err)
			used[e.Network] = true
			continue
		}
		done.Endpoints = append(done.Endpoints, e.Name)
	}
	networks, err := p.Daemon.Networks(ctx)
	errs = append(errs, err)
	for _, n := range networks {
		if n.Owner != Owner || used[n.Name] || slices.Contains(has, n.Name) {
			continue
		}
		if err := p.Daemon.DeleteNetwork(ctx, n.Name, false); err != nil && api.CodeOf(err) != api.NotFound {
			errs = append(errs, err) // a mapping or a reservation of a person's is in it
			continue
		}
		done.Networks = append(done.Networks, n.Name)
	}
	return done, errors.Join(errs...)
}

// collect is Collect for Setup: it does nothing if Podman keeps its files elsewhere,
// which is so if that of the network that it asks for is not there.
func (p *Plugin) collect(ctx context.Context, network string) error {
	has, err := p.files()
	if err != nil || !slices.Contains(has, network) {
		return nil
	}
	_, err = p.Collect(ctx)
	return err
}

// files are the names of Podman's networks that have the driver hostnat.
func (p *Plugin) files() (names []string, err error) {
	paths, err := filepath.Glob(filepath.Join(p.Files, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list Podman's networks in %s: %w", p.Files, err)
	}
	if _, err := os.Stat(p.Files); err != nil {
		return nil, fmt.Errorf("list Podman's networks: %w", err)
	}
	for _, path := range paths {
		text, err := regular.ReadAnyones(path, maxInput)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was removed this moment
		}
		var n Network
		if err == nil {
			err = json.Unmarshal(text, &n)
		}
		if err != nil {
			return nil, fmt.Errorf("read Podman's network %s: %w", path, err)
		}
		if n.Driver == Driver {
			names = append(names, n.Name)
		}
	}
	return names, nil
}
