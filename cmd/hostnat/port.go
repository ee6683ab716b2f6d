package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/control"
)

func portCommand(a *app) *cobra.Command {
	return group("port", "External ports: who has which", portList(a))
}

func portList(a *app) *cobra.Command {
	var protocol string
	cmd := &cobra.Command{
		Use: "list", Short: "List who has which external port: mappings, NATs, programs of the host", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Ports(cmd.Context(), protocol)
			if err != nil {
				return err
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
