package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

// dockerReport is what `docker status` shows.
type dockerReport struct {
	Enabled    bool     `json:"enabled"`
	Host       string   `json:"host,omitempty"`    // where Docker answers
	Version    string   `json:"version,omitempty"` // Docker's; empty: it does not answer
	Settings   string   `json:"settings"`          // the file
	InForce    bool     `json:"inForce"`           // the file has hostnat's settings
	Networks   []string `json:"networks"`
	Containers []string `json:"containers"`
	Mappings   int      `json:"mappings"`
	Problems   []string `json:"problems"`
}

func dockerStatus(a *app) *cobra.Command {
	var f dockerFlags
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether Docker is followed", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := reportDocker(cmd.Context(), a, f)
			if err != nil {
				return err
			}
			return printObject(a, r, []field{
				{"enabled", text.YesNo(r.Enabled)}, {"docker", orWord(r.Version, "does not answer")}, {"host", r.Host},
				{"settings", r.Settings + ": " + inForce(r.InForce)}, {"networks", text.Join(r.Networks)},
				{"containers", text.Join(r.Containers)}, {"mappings", fmt.Sprint(r.Mappings)}, {"problems", strings.Join(r.Problems, "; ")},
			})
		},
	}
	f.add(a, cmd)
	return cmd
}

func inForce(yes bool) string {
	if yes {
		return "as needed"
	}
	return "not as needed: run 'hostnat docker enable'"
}

func reportDocker(ctx context.Context, a *app, f dockerFlags) (r dockerReport, err error) {
	c := a.client()
	networks, err := c.Networks(ctx)
	if err != nil {
		return r, err
	}
	endpoints, err := c.Endpoints(ctx, "")
	if err != nil {
		return r, err
	}
	mappings, err := c.Mappings(ctx)
	if err != nil {
		return r, err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return r, err
	}
	file, err := docker.ReadSettingsFile(f.settings)
	if err != nil {
		return r, err
	}
	r = dockerReport{Host: f.host, Settings: f.settings, Networks: []string{}, Containers: []string{}, Problems: []string{}}
	for _, n := range networks {
		if n.Owner != docker.Owner {
			continue
		}
		r.Networks = append(r.Networks, n.Name)
		if s, err := docker.SubnetOf(n); err == nil && n.Name == dockerNetwork {
			r.Enabled, r.Host = true, n.Labels[docker.LabelHost]
			r.InForce = file.Now.Has(docker.SettingsFor(n.Bridge, s))
		}
	}
	for _, e := range endpoints {
		if e.Owner == docker.Owner {
			r.Containers = append(r.Containers, e.Name)
		}
	}
	for _, m := range mappings {
		if m.Owner == docker.Owner {
			r.Mappings++
		}
	}
	for _, p := range status.Problems {
		if strings.HasPrefix(p, "Docker: ") {
			r.Problems = append(r.Problems, strings.TrimPrefix(p, "Docker: "))
		}
	}
	r.Version = dockerVersion(ctx, r.Host)
	return r, nil
}

// dockerVersion is empty if Docker does not answer.
func dockerVersion(ctx context.Context, host string) string {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	e, err := docker.Dial(host)
	if err != nil {
		return ""
	}
	defer e.Close()
	version, _ := e.Version(ctx)
	return version
}

func dockerNetworkCreate(a *app) *cobra.Command {
	var f dockerFlags
	var subnet string
	spec := api.NetworkSpec{}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a network for Docker's containers", Args: positional("NAME"), ValidArgsFunction: a.arguments(nil),
		Example: "  hostnat docker network create web\n  docker run -d --network web --name c1 nginx",
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := docker.Dial(f.host)
			if err != nil {
				return err
			}
			defer e.Close()
			spec.Name = args[0]
			n, err := createForDocker(cmd.Context(), a, spec, subnet, f.host)
			if err != nil {
				return err
			}
			s, err := docker.SubnetOf(n)
			if err == nil {
				err = e.CreateNetwork(cmd.Context(), n.Name, n.Bridge, s)
			}
			if err != nil {
				_ = a.client().DeleteNetwork(cmd.Context(), n.Name, false) // as it was before
				return err
			}
			return printLine(a, n, "network %s: %s, gateway %s, bridge %s; for containers with --network %s", n.Name, s.Prefix, s.Gateway, n.Bridge, n.Name)
		},
	}
	f.add(a, cmd)
	cmd.Flags().StringVar(&subnet, "subnet", "", "its `CIDR`; without it, a free one is chosen")
	cmd.Flags().StringVar(&spec.NAT, "nat", "", "the `NAT` that it is behind (default default)")
	cmd.Flags().StringVar(&spec.Isolation, "isolation", "", "`on|off|endpoint`: whom its containers reach (default on)")
	return cmd
}

func dockerNetworkDelete(a *app) *cobra.Command {
	var f dockerFlags
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete one, Docker's and hostnat's", Args: positional("NAME"), ValidArgsFunction: a.arguments(networkNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.client().Network(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if n.Owner != docker.Owner || n.Name == dockerNetwork {
				return fmt.Errorf("network %q was not made by 'hostnat docker network create'", n.Name)
			}
			e, err := docker.Dial(n.Labels[docker.LabelHost])
			if err != nil {
				return err
			}
			defer e.Close()
			if err := e.DeleteNetwork(cmd.Context(), n.Name); err != nil {
				return err
			}
			if err := a.client().DeleteNetwork(cmd.Context(), n.Name, true); err != nil {
				return err
			}
			return printDone(a, "network %s deleted", n.Name)
		},
	}
	f.add(a, cmd)
	return cmd
}
