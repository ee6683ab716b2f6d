package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func poolCommand(a *app) *cobra.Command {
	return group("pool", "Where subnets are taken from for networks that name none",
		poolAdd(a), poolList(a), poolDelete(a))
}

func poolAdd(a *app) *cobra.Command {
	var spec api.PoolSpec
	cmd := &cobra.Command{
		Use: "add CIDR", Short: "Add a prefix to take subnets from", Args: positional("CIDR"), ValidArgsFunction: a.arguments(nil),
		Long: "Add a prefix to take subnets from. The first one replaces the private prefixes of RFC 1918,\nwhich are used while there is none. Networks that exist stay as they are.",
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Prefix = args[0]
			p, err := a.client().AddPool(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return printLine(a, p, "subnets of /%d are taken from %s", p.Size, p.Prefix)
		},
	}
	cmd.Flags().StringVar(&spec.Size, "size", "", "`prefix length` of the subnets (default 24)")
	return cmd
}

func poolList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the prefixes that subnets are taken from", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Pools(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, rows, []column[api.Pool]{
				{"PREFIX", func(p api.Pool) string { return p.Prefix.String() }},
				{"SIZE", func(p api.Pool) string { return fmt.Sprintf("/%d", p.Size) }},
			})
		},
	}
}

func poolDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete CIDR...", Short: "Delete prefixes that were added", Args: positional("CIDR..."), ValidArgsFunction: a.arguments(nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(args, func(prefix string) error {
				if err := a.client().DeletePool(cmd.Context(), prefix); err != nil {
					return err
				}
				return printDone(a, "pool %s deleted", prefix)
			})
		},
	}
}
