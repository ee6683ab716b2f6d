package main

import (
	"fmt"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func bindingCommand(a *app) *cobra.Command {
	return group("binding", "Bindings: inside address and port ↔ external address and port", bindingList(a))
}

func bindingList(a *app) *cobra.Command {
	var filter api.Filter
	cmd := &cobra.Command{
		Use: "list", Short: "List the bindings", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Bindings(cmd.Context(), filter)
			if err != nil {
				return err
			}
			return printList(a, rows, []column[api.Binding]{
				{"PROTOCOL", func(b api.Binding) string { return string(b.Protocol) }},
				{"INTERNAL", func(b api.Binding) string { return text.HostPort(b.Internal) }},
				{"EXTERNAL", func(b api.Binding) string { return text.HostPort(b.External) }},
				{"SESSIONS", func(b api.Binding) string { return fmt.Sprint(b.SessionCount) }},
				{"CONFIGURED", func(b api.Binding) string { return text.YesNo(b.Configured) }},
				{"ENDPOINT", func(b api.Binding) string { return b.Endpoint }},
				{"NETWORK", func(b api.Binding) string { return b.Network }},
				{"NAT", func(b api.Binding) string { return b.NAT }},
			})
		},
	}
	addFilters(a, cmd, &filter)
	return cmd
}
