package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

func dockerCommand(a *app) *cobra.Command {
	return group("docker", "Docker: its containers on networks of hostnat's",
		dockerEnable(a), dockerDisable(a), dockerStatus(a),
		group("network", "Docker's own networks on bridges of hostnat's", dockerNetworkCreate(a), dockerNetworkDelete(a)))
}

// dockerNetwork is the network on which containers are that ask for none.
const dockerNetwork = "docker"

// dockerFlags are those of all commands that speak to Docker.
type dockerFlags struct{ host, settings string }

func (f *dockerFlags) add(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.host, "docker-host", cmp.Or(a.Getenv("DOCKER_HOST"), docker.DefaultHost), "where Docker answers: `unix://PATH` (also DOCKER_HOST)")
	cmd.Flags().StringVar(&f.settings, "settings", docker.DefaultSettings, "Docker's `file` of settings")
}

func dockerEnable(a *app) *cobra.Command {
	var f dockerFlags
	var subnet string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "enable", Short: "Have Docker's containers on a network of hostnat's", Args: positional(),
		Long: "Make the network docker, put its bridge into Docker's settings, and follow Docker from\n" +
			"then on: every container is an endpoint with its name, every published port a mapping.\n" +
			"The settings as they were are kept beside the file. Docker reads them when it is restarted.",
		Example: "  hostnat docker enable --dry-run\n  hostnat docker enable\n  systemctl restart docker\n  docker run -d -p 8080:80 nginx",
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := docker.ReadSettingsFile(f.settings)
			if err != nil {
				return err
			}
			n, there, err := findDockerNetwork(cmd.Context(), a)
			if err != nil {
				return err
			}
			if dryRun && !there {
				return printPlanned(a, file, subnet)
			}
			if !there {
				if n, err = createForDocker(cmd.Context(), a, api.NetworkSpec{Name: dockerNetwork}, subnet, f.host); err != nil {
					return err
				}
			}
			return enableDocker(a, file, n, dryRun)
		},
	}
	f.add(a, cmd)
	cmd.Flags().StringVar(&subnet, "subnet", "", "the network's `CIDR`; without it, a free one is chosen")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would change")
	return cmd
}

// enableDocker puts the settings for a network into Docker's file.
func enableDocker(a *app, file docker.SettingsFile, n api.Network, dryRun bool) error {
	s, err := docker.SubnetOf(n)
	if err != nil {
		return err
	}
	after := file.Now.Merge(docker.SettingsFor(n.Bridge, s))
	diff := file.Now.Diff(after)
	if _, err := fmt.Fprint(a.Stdout, diff); err != nil || dryRun {
		return err
	}
	if diff == "" {
		_, err := fmt.Fprintf(a.Stdout, "%s has it all already\n", file.Path)
		return err
	}
	if err := file.Change(after); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "network %s: %s, bridge %s; containers get %s\n%s is changed; now restart Docker: systemctl restart docker\n",
		n.Name, s.Prefix, n.Bridge, s.Part, file.Path)
	return err
}

// printPlanned is a dry run before there is a network: its subnet is not chosen yet.
func printPlanned(a *app, file docker.SettingsFile, subnet string) error {
	wanted := docker.SettingsFor("hn-"+dockerNetwork, docker.Subnet{})
	_, err := fmt.Fprintf(a.Stdout, "network %s would be made, subnet %s\n%s%s\n", dockerNetwork, cmp.Or(subnet, "a free one"),
		file.Now.Diff(file.Now.Merge(wanted)), "fixed-cidr is the upper half of that subnet")
	return err
}

func findDockerNetwork(ctx context.Context, a *app) (n api.Network, there bool, err error) {
	n, err = a.client().Network(ctx, dockerNetwork)
	switch {
	case api.CodeOf(err) == api.NotFound:
		return n, false, nil
	case err == nil && n.Owner != docker.Owner:
		return n, false, fmt.Errorf("network %q is there already and not for Docker; delete it first", dockerNetwork)
	}
	return n, err == nil, err
}

// createForDocker makes a network whose addresses Docker gives out, a half of them.
func createForDocker(ctx context.Context, a *app, spec api.NetworkSpec, subnet, host string) (api.Network, error) {
	if subnet != "" {
		spec.Subnets = []string{subnet}
	}
	spec.Owner, spec.Labels = docker.Owner, map[string]string{docker.LabelHost: host}
	n, err := a.client().CreateNetwork(ctx, spec)
	if err != nil {
		return n, err
	}
	s, err := docker.SubnetOf(n)
	if err == nil {
		n, err = a.client().SetNetwork(ctx, n.Name, map[string]string{"exclude": s.Range()})
	}
	if err != nil {
		_ = a.client().DeleteNetwork(ctx, spec.Name, false) // as it was before
	}
	return n, err
}

func dockerDisable(a *app) *cobra.Command {
	var f dockerFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use: "disable", Short: "Give Docker its own network back", Args: positional(),
		Long: "Take hostnat's settings out of Docker's file, and delete the network docker with the\n" +
			"endpoints and mappings of its containers. What somebody has changed in the file since stays.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := docker.ReadSettingsFile(f.settings)
			if err != nil {
				return err
			}
			n, there, err := findDockerNetwork(cmd.Context(), a)
			if err != nil || !there {
				return cmp.Or(err, fmt.Errorf("there is no network %q: Docker is not followed", dockerNetwork))
			}
			return disableDocker(cmd.Context(), a, file, n, dryRun)
		},
	}
	f.add(a, cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would change")
	return cmd
}

func disableDocker(ctx context.Context, a *app, file docker.SettingsFile, n api.Network, dryRun bool) error {
	s, err := docker.SubnetOf(n)
	if err != nil {
		return err
	}
	after := file.Now.Unmerge(docker.SettingsFor(n.Bridge, s), file.Before)
	if _, err := fmt.Fprint(a.Stdout, file.Now.Diff(after)); err != nil || dryRun {
		return err
	}
	if err := file.Restore(after); err != nil {
		return err
	}
	if err := deleteForDocker(ctx, a, n); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "network %s deleted, %s is as before; now restart Docker: systemctl restart docker\n", n.Name, file.Path)
	return err
}

// deleteForDocker deletes the network of containers that ask for none, which ends
// the following, and then the others that are Docker's.
func deleteForDocker(ctx context.Context, a *app, n api.Network) error {
	if err := a.client().DeleteNetwork(ctx, n.Name, true); err != nil {
		return err
	}
	others, err := a.client().Networks(ctx)
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.Owner != docker.Owner {
			continue
		}
		if err := a.client().DeleteNetwork(ctx, other.Name, true); err != nil {
			return err
		}
	}
	return nil
}

// attachContainer attaches a container by its name: the daemon follows it.
func attachContainer(ctx context.Context, a *app, spec api.EndpointSpec, name string) error {
	e, err := docker.Dial(cmp.Or(a.Getenv("DOCKER_HOST"), docker.DefaultHost))
	if err != nil {
		return err
	}
	defer e.Close()
	p, err := e.AttachTo(ctx, &spec, name)
	if err != nil {
		return err
	}
	attached, err := a.client().AttachEndpoint(ctx, spec)
	if err != nil {
		return err
	}
	n, err := a.client().Network(ctx, spec.Network)
	if err == nil && !p.OwnDNS {
		err = docker.TellResolver(p.ResolvConf, n)
	}
	if err != nil {
		return err
	}
	return printAttached(a, attached)
}
