package main

import (
	"github.com/spf13/cobra"
)

func networkSet(a *app) *cobra.Command {
	cmd := setCommand(a, "network", networkNames, networkSettings, func(cmd *cobra.Command, name string, values map[string]string) error {
		n, err := a.client().SetNetwork(cmd.Context(), name, values)
		if err != nil {
			return err
		}
		return printObject(a, n, networkFields(n))
	})
	cmd.Long += "\n\nTIME is seconds or a duration (3600, 1h). Defaults are in brackets."
	return cmd
}

func networkRenumber(a *app) *cobra.Command {
	var subnet string
	cmd := &cobra.Command{
		Use: "renumber NAME", Short: "Move a network to another subnet", Args: positional("NAME"), ValidArgsFunction: a.arguments(networkNames),
		Long: "Move a network to another subnet: its gateway, its endpoints and the mappings to them.\n" +
			"Each keeps its place in the subnet. Sessions end; machines that have their address by DHCP get a new one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.client().RenumberNetwork(cmd.Context(), args[0], subnet)
			if err != nil {
				return err
			}
			return printLine(a, r, "network %s moved from %s to %s", r.Network, r.From, r.To)
		},
	}
	cmd.Flags().StringVar(&subnet, "subnet", "", "the new `CIDR`; without it, a free one is chosen")
	return cmd
}
