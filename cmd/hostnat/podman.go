package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/plugin/podman"
)

func podmanCommand(a *app) *cobra.Command {
	return group("podman", "Networks of Podman with the driver hostnat", podmanPrune(a))
}

func podmanPrune(a *app) *cobra.Command {
	p := podman.Plugin{}
	cmd := &cobra.Command{
		Use: "prune", Short: "Take away what Podman has no more", Args: positional(),
		Long: "Take away endpoints of Podman's containers that ended without a word, and networks that Podman has removed. Podman's\n" +
			"driver does the same whenever a container starts.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.Daemon = a.client()
			done, err := p.Collect(cmd.Context())
			if err != nil {
				return err
			}
			if a.format != formatTable {
				return a.print(done)
			}
			for _, name := range done.Endpoints {
				fmt.Fprintf(a.Stdout, "endpoint %s detached\n", name)
			}
			for _, name := range done.Networks {
				fmt.Fprintf(a.Stdout, "network %s deleted\n", name)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&p.Files, "network-config-dir", podman.DefaultFiles, "where Podman keeps the files of its networks, as in its option of that name")
	return cmd
}
