package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func mappingCommand(a *app) *cobra.Command {
	return group("mapping", "Static mappings: published ports",
		mappingAdd(a), mappingList(a), mappingShow(a), mappingDelete(a))
}

func mappingAdd(a *app) *cobra.Command {
	var spec api.MappingSpec
	cmd := &cobra.Command{
		Use: "add [--protocol tcp|udp] [--external [A:]PORT[-PORT]|A] --internal ENDPOINT|A:PORT[-PORT][,...]\n" +
			"  hostnat mapping add --protocol any --external A --internal ENDPOINT|A", Short: "Publish a port of an endpoint, or all of an address",
		Long: "Publish a port of an endpoint, or as many in a row as both ranges have. Several targets with\n" +
			"commas between share the new sessions: a client stays with its target, and one that is\n" +
			"detached gets no more.\n\n" +
			"Without --external free ports are chosen out of those that the NAT gives out, on all\n" +
			"addresses; with --external A on that one. They stay the same until the mapping is deleted.\n" +
			"Each such command makes another mapping.\n\n" +
			"A mapping on one address goes before one on all addresses with the same port, whichever\n" +
			"was added first.\n\n" +
			"With --protocol any an endpoint gets a whole external address: every port of TCP and UDP,\n" +
			"and SCTP, GRE, ESP and every other protocol, of which the address alone is translated.\n" +
			"The address is one of the host's or of the NAT's ('hostnat address add'). The host still\n" +
			"answers pings to it.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("internal") {
				return usagef(cmd, "--internal is missing")
			}
			return addMappings(cmd.Context(), a, spec, strings.Split(strings.ToLower(spec.Protocol), ","))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.NAT, "nat", "", "the `NAT` that has the external port (default the target's network's)")
	flags.StringVar(&spec.Protocol, "protocol", "tcp", "tcp, udp or tcp,udp; any: a whole address")
	flags.StringVar(&spec.External, "external", "", "external `[A:]PORT[-PORT]`; without it, or with A alone, free ports are chosen; with --protocol any A")
	flags.StringVar(&spec.Internal, "internal", "", "what it reaches: `ENDPOINT:PORT[-PORT]` or A:PORT[-PORT]; several with commas between; with --protocol any ENDPOINT or A")
	flags.StringVar(&spec.Network, "network", "", "the `network` of an address that several networks have")
	flags.StringArrayVar(&spec.From, "from", nil, "let only this `CIDR` in; may be repeated")
	flags.BoolVar(&spec.Force, "force", false, "take the port, or the address, even if a program of the host listens there or the NAT is left without")
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	completeFlag(cmd, "protocol", "tcp", "udp", "tcp,udp", "any")
	completeTarget(a, cmd)
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
			metadata := metadataColumns(func(m api.Mapping) (map[string]string, string) { return m.Labels, m.Owner })
			return printList(a, rows, []column[api.Mapping]{
				{"ID", func(m api.Mapping) string { return fmt.Sprint(m.ID) }},
				{"PROTOCOL", func(m api.Mapping) string { return string(m.Protocol) }},
				{"EXTERNAL", func(m api.Mapping) string { return text.HostPorts(m.External) }},
				{"TARGET", target},
				{"NETWORK", func(m api.Mapping) string { return m.Network }},
				{"NAT", func(m api.Mapping) string { return m.NAT }},
				{"FROM", func(m api.Mapping) string { return text.Join(m.From) }},
				{"ACTIVE", func(m api.Mapping) string { return text.YesNo(m.Active) }},
			}, metadata...)
		},
	}
}

func mappingShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one static mapping", Args: positional("ID"), ValidArgsFunction: a.arguments(mappingIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := mappingID(cmd, args[0])
			if err != nil {
				return err
			}
			m, err := a.client().Mapping(cmd.Context(), id)
			if err != nil {
				return err
			}
			return printObject(a, m, mappingFields(m))
		},
	}
}

// mappingFields has a line for each target.
func mappingFields(m api.Mapping) []field {
	fields := []field{
		{"id", fmt.Sprint(m.ID)}, {"protocol", string(m.Protocol)}, {"external", text.HostPorts(m.External)},
	}
	for _, t := range m.Targets {
		text := targetText(t) + " in network " + t.Network
		if !resolved(t) {
			text += ", not attached"
		}
		fields = append(fields, field{"target", text})
	}
	return append(fields, field{"NAT", m.NAT}, field{"from", text.Join(m.From)}, field{"active", text.YesNo(m.Active)})
}

func mappingID(cmd *cobra.Command, text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, usagef(cmd, "%q is not the id of a mapping, which is a number", text)
	}
	return uint32(id), nil
}

func mappingDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID...", Short: "Delete static mappings", Args: positional("ID..."), ValidArgsFunction: a.repeated(mappingIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ids []uint32
			for _, text := range args {
				id, err := mappingID(cmd, text)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return forEach(ids, func(id uint32) error {
				if err := a.client().DeleteMapping(cmd.Context(), id); err != nil {
					return err
				}
				return printDone(a, "mapping %d deleted", id)
			})
		},
	}
}

func mappingIDs(ctx context.Context, c *api.Client) []string {
	rows, _ := c.Mappings(ctx)
	return namesOf(rows, func(m api.Mapping) string {
		return fmt.Sprintf("%d\t%s %s → %s", m.ID, m.Protocol, text.HostPorts(m.External), target(m))
	})
}

func target(m api.Mapping) string { return text.Join(namesOf(m.Targets, targetText)) }

// targetText is "c1 172.16.1.2:80": the endpoint, if it was named, and the
// address it has now; "c1:80" while it has none.
func targetText(t api.Target) string {
	switch {
	case t.Endpoint == "":
		return t.Internal
	case resolved(t):
		return t.Endpoint + " " + t.Internal
	}
	return t.Endpoint + strings.TrimPrefix(t.Internal, noAddress)
}

// noAddress is that of a target whose endpoint is not attached.
const noAddress = "0.0.0.0"

func resolved(t api.Target) bool { return !strings.HasPrefix(t.Internal, noAddress) }

func fromText(m api.Mapping) string {
	if len(m.From) == 0 {
		return ""
	}
	return " from " + text.Join(m.From)
}
