package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

func portCommand(a *app) *cobra.Command {
	return group("port", "External ports: who has which", portList(a))
}

func portList(a *app) *cobra.Command {
	var protocol string
	cmd := &cobra.Command{
		Use: "list [PORT]", Short: "List who has which external port: mappings, NATs, programs of the host",
		Long: "List who has which external port: mappings, NATs, programs of the host. With PORT, or a range\n" +
			"LO-HI, only whoever has one of these.",
		Args: optional("PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, err := a.client().Ports(cmd.Context(), protocol)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				wanted, err := model.ParsePortRange("port", args[0])
				if err != nil {
					return err
				}
				rows = slices.DeleteFunc(rows, func(p control.PortView) bool { return !hasPort(p, wanted) })
			}
			return printList(a, rows, []column[control.PortView]{
				{"PROTOCOL", func(p control.PortView) string { return p.Protocol.String() }},
				{"ADDRESS", func(p control.PortView) string { return anyAddress(p.Address) }},
				{"PORTS", func(p control.PortView) string { return p.Ports }},
				{"KIND", func(p control.PortView) string { return string(p.Kind) }},
				{"OWNER", func(p control.PortView) string { return p.Owner }},
				{"IN USE", portUse},
			})
		},
	}
	cmd.Flags().StringVar(&protocol, "protocol", "", "only tcp, udp or icmp")
	completeFlag(cmd, "protocol", "tcp", "udp", "icmp")
	return cmd
}

// hasPort reports whether a row has one of the wanted ports: its own are ranges,
// separated by commas.
func hasPort(p control.PortView, wanted model.PortRange) bool {
	for text := range strings.SplitSeq(p.Ports, ",") {
		if r, err := model.ParsePortRange("port", text); err == nil && r.Overlaps(wanted) {
			return true
		}
	}
	return false
}

func anyAddress(a netip.Addr) string {
	if a.IsUnspecified() {
		return "*"
	}
	return a.String()
}

func portUse(p control.PortView) string {
	switch {
	case p.InUse == nil:
		return ""
	case p.Count == 1:
		return yesNo(*p.InUse > 0)
	}
	return fmt.Sprintf("%d of %d", *p.InUse, p.Count)
}
