package main

import (
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func reservationCommand(a *app) *cobra.Command {
	return group("reservation", "Addresses that are kept for clients",
		reservationAdd(a), reservationList(a), reservationDelete(a))
}

func reservationAdd(a *app) *cobra.Command {
	var spec api.ReservationSpec
	cmd := &cobra.Command{
		Use: "add NETWORK", Short: "Keep an address for a client", Args: positional("NETWORK"), ValidArgsFunction: a.arguments(networkNames),
		Long: "Keep an address of a network for one client, known by its MAC or its name: that of an\nendpoint, or the hostname that a DHCP client gives.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (spec.MAC == "") == (spec.Name == "") {
				return usagef(cmd, "one of --mac and --name is needed")
			}
			if spec.Address == "" {
				return usagef(cmd, "--address is needed")
			}
			spec.Network = args[0]
			r, err := a.client().AddReservation(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return printLine(a, r, "%s of network %s is kept for %s", r.Address, r.Network, clientText(r))
		},
	}
	flags := cmd.Flags()
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	flags.StringVar(&spec.MAC, "mac", "", "the client's Ethernet `address`")
	flags.StringVar(&spec.Name, "name", "", "the client's `name`")
	flags.StringVar(&spec.Address, "address", "", "the `address` that it gets")
	return cmd
}

func clientText(r api.Reservation) string {
	if r.MAC != "" {
		return r.MAC
	}
	return r.Name
}

func reservationList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the addresses that are kept", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Reservations(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, rows, []column[api.Reservation]{
				{"NETWORK", func(r api.Reservation) string { return r.Network }},
				{"ADDRESS", func(r api.Reservation) string { return r.Address.String() }},
				{"MAC", func(r api.Reservation) string { return r.MAC }},
				{"NAME", func(r api.Reservation) string { return r.Name }},
			})
		},
	}
}

func reservationDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete NETWORK ADDRESS", Short: "Give a kept address back", Args: positional("NETWORK", "ADDRESS"), ValidArgsFunction: a.arguments(networkNames, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().DeleteReservation(cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
			return printDone(a, "%s of network %s is not kept any more", args[1], args[0])
		},
	}
}
