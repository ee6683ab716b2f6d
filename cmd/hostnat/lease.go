package main

import (
	"time"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func leaseCommand(a *app) *cobra.Command {
	return group("lease", "Addresses that DHCP clients have",
		leaseList(a), leaseDelete(a))
}

func leaseList(a *app) *cobra.Command {
	var network string
	cmd := &cobra.Command{
		Use: "list", Short: "List the DHCP leases", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Leases(cmd.Context(), network)
			if err != nil {
				return err
			}
			return printList(a, rows, []column[api.Lease]{
				{"NETWORK", func(l api.Lease) string { return l.Network }},
				{"ADDRESS", func(l api.Lease) string { return l.Address.String() }},
				{"MAC", func(l api.Lease) string { return l.MAC }},
				{"HOSTNAME", func(l api.Lease) string { return l.Hostname }},
				{"ENDPOINT", func(l api.Lease) string { return l.Endpoint }},
				{"STATE", func(l api.Lease) string { return l.State }},
				{"LEFT", func(l api.Lease) string { return leftText(l, time.Now()) }},
			})
		},
	}
	cmd.Flags().StringVar(&network, "network", "", "only those of this `network`")
	a.completeFlagFrom(cmd, "network", networkNames)
	return cmd
}

// leftText is how long a lease still lasts; "" if it does not.
func leftText(l api.Lease, now time.Time) string {
	if !l.Holds(now) {
		return ""
	}
	return text.Seconds(uint64(l.Expires.Sub(now) / time.Second))
}

func leaseDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete NETWORK ADDRESS", Short: "Drop a lease", Args: positional("NETWORK", "ADDRESS"), ValidArgsFunction: a.arguments(networkNames, nil),
		Long: "Drop a lease. The client is not told; when it renews, it gets the same address again\nunless somebody else has it by then.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().DeleteLease(cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
			return printDone(a, "lease of %s dropped", args[1])
		},
	}
}
