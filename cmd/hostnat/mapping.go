package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/api"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/nat"
)

func mappingCommand(a *app) *cobra.Command {
	return group("mapping", "Static mappings: published ports",
		mappingAdd(a), mappingList(a), mappingDelete(a))
}

func mappingAdd(a *app) *cobra.Command {
	var spec nat.MappingSpec
	cmd := &cobra.Command{
		Use: "add --protocol tcp|udp [--external [A:]PORT|A] --internal ENDPOINT|A:PORT", Short: "Publish a port of an endpoint",
		Long: "Publish a port of an endpoint. Without --external a free port is chosen out of those that\n" +
			"the NAT gives out, on all addresses; with --external A on that one. It stays the same until\n" +
			"the mapping is deleted. Each such command makes another mapping.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"protocol", "internal"} {
				if !cmd.Flags().Changed(name) {
					return usagef(cmd, "--%s is missing", name)
				}
			}
			if cmd.Flags().Changed("external") && spec.External == "" {
				return usagef(cmd, "--external is empty; without it, a free port is chosen")
			}
			m, err := a.client().AddMapping(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return printLine(a, m, "mapping %d: %s %s → %s%s", m.ID, m.Protocol, hostPort(m.External), target(m), fromText(m))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.NAT, "nat", "", "the `NAT` that has the external port (default the target's network's)")
	flags.StringVar(&spec.Protocol, "protocol", "", "tcp or udp")
	flags.StringVar(&spec.External, "external", "", "external `[A:]PORT`; without it, or with A alone, a free port is chosen")
	flags.StringVar(&spec.Internal, "internal", "", "what it reaches: `ENDPOINT:PORT` or A:PORT")
	flags.StringVar(&spec.Network, "network", "", "the `network` of an address that several networks have")
	flags.StringArrayVar(&spec.From, "from", nil, "let only this `CIDR` in; may be repeated")
	flags.BoolVar(&spec.Force, "force", false, "take the port even if a program of the host listens there")
	completeFlag(cmd, "protocol", "tcp", "udp")
	a.completeFlagFrom(cmd, "nat", natNames)
	a.completeFlagFrom(cmd, "network", networkNames)
	return cmd
}

func mappingList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the static mappings", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Mappings(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, rows, []column[control.MappingView]{
				{"ID", func(m control.MappingView) string { return fmt.Sprint(m.ID) }},
				{"PROTOCOL", func(m control.MappingView) string { return m.Protocol.String() }},
				{"EXTERNAL", func(m control.MappingView) string { return hostPort(m.External) }},
				{"TARGET", target},
				{"NETWORK", func(m control.MappingView) string { return m.Network }},
				{"NAT", func(m control.MappingView) string { return m.NAT }},
				{"FROM", func(m control.MappingView) string { return texts(m.From) }},
				{"ACTIVE", func(m control.MappingView) string { return yesNo(m.Active) }},
			})
		},
	}
}

func mappingDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Delete a static mapping", Args: positional("ID"), ValidArgsFunction: a.arguments(mappingIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil {
				return usagef(cmd, "%q is not the id of a mapping, which is a number", args[0])
			}
			if err := a.client().DeleteMapping(cmd.Context(), uint32(id)); err != nil {
				return err
			}
			return printDone(a, "mapping %d deleted", id)
		},
	}
}

func mappingIDs(ctx context.Context, c *api.Client) []string {
	rows, _ := c.Mappings(ctx)
	return namesOf(rows, func(m control.MappingView) string {
		return fmt.Sprintf("%d\t%s %s → %s", m.ID, m.Protocol, hostPort(m.External), target(m))
	})
}

// target is "c1 172.16.1.2:80": the endpoint, if it was named, and the address
// it has now; "c1:80" while it has none.
func target(m control.MappingView) string {
	switch {
	case m.Endpoint == "":
		return m.Internal.String()
	case m.Internal.Addr().IsUnspecified():
		return fmt.Sprintf("%s:%d", m.Endpoint, m.Internal.Port())
	}
	return m.Endpoint + " " + m.Internal.String()
}

func fromText(m control.MappingView) string {
	if len(m.From) == 0 {
		return ""
	}
	return " from " + texts(m.From)
}
