package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/model"
)

func bindingCommand(a *app) *cobra.Command {
	return group("binding", "Bindings: inside address and port ↔ external address and port", bindingList(a))
}

func bindingList(a *app) *cobra.Command {
	var filter model.Filter
	cmd := &cobra.Command{
		Use: "list", Short: "List the bindings", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Bindings(cmd.Context(), filter)
			if err != nil {
				return err
			}
			return printList(a, rows, []column[model.Binding]{
				{"PROTOCOL", func(b model.Binding) string { return b.Protocol.String() }},
				{"INTERNAL", func(b model.Binding) string { return hostPort(b.Internal) }},
				{"EXTERNAL", func(b model.Binding) string { return hostPort(b.External) }},
				{"SESSIONS", func(b model.Binding) string { return fmt.Sprint(b.SessionCount) }},
				{"CONFIGURED", func(b model.Binding) string { return yesNo(b.Configured) }},
				{"ENDPOINT", func(b model.Binding) string { return b.Endpoint }},
				{"NETWORK", func(b model.Binding) string { return b.Network }},
				{"NAT", func(b model.Binding) string { return b.NAT }},
			})
		},
	}
	addFilters(a, cmd, &filter)
	return cmd
}
