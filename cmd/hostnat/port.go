package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func portCommand(a *app) *cobra.Command {
	return group("port", "External ports: who has which", portList(a))
}

func portList(a *app) *cobra.Command {
	var filter api.PortFilter
	cmd := &cobra.Command{
		Use: "list [PORT]", Short: "List who has which external port: mappings, NATs, programs of the host",
		Long: "List who has which external port: mappings, NATs, programs of the host. With PORT, or a range\n" +
			"LO-HI, only whoever has one of these.",
		Args: optional("PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter.Ports = strings.Join(args, "")
			rows, err := a.client().Ports(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if a.format == formatTable && len(args) > 0 && isFree(rows) {
				_, err := fmt.Fprintf(a.Stdout, "%s is free: no mapping, port proxy or program of the host has it\n", args[0])
				return err
			}
			if a.format == formatTable { // of all addresses: IPv4's and IPv6's look the same
				rows = slices.CompactFunc(rows, func(p, q api.Port) bool {
					return p.Protocol == q.Protocol && anyAddress(p.Address) == anyAddress(q.Address) && p.Ports == q.Ports && p.Kind == q.Kind && p.Owner == q.Owner
				})
			}
			return printList(a, rows, []column[api.Port]{
				{"PROTOCOL", func(p api.Port) string { return string(p.Protocol) }},
				{"ADDRESS", func(p api.Port) string { return anyAddress(p.Address) }},
				{"PORTS", func(p api.Port) string { return p.Ports }},
				{"KIND", func(p api.Port) string { return p.Kind }},
				{"OWNER", func(p api.Port) string { return p.Owner }},
				{"IN USE", portUse},
			})
		},
	}
	cmd.Flags().StringVar(&filter.Protocol, "protocol", "", "only tcp, udp or icmp")
	completeFlag(cmd, "protocol", "tcp", "udp", "icmp")
	return cmd
}

// isFree reports whether nobody has the ports: those from which NATs or the host
// choose are free until they do.
func isFree(rows []api.Port) bool {
	return !slices.ContainsFunc(rows, func(p api.Port) bool { return p.Kind != api.PortsDynamic && p.Kind != api.PortsEphemeral })
}

func anyAddress(a netip.Addr) string {
	if a.IsUnspecified() {
		return "*"
	}
	return a.String()
}

func portUse(p api.Port) string {
	switch {
	case p.InUse == nil:
		return ""
	case p.Count == 1:
		return text.YesNo(*p.InUse > 0)
	}
	return fmt.Sprintf("%d of %d", *p.InUse, p.Count)
}
