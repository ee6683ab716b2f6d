package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// positional checks that a command got the arguments that its usage line
// names: positional("NETWORK", "NAME"). A last one that ends with "..." may be
// repeated.
func positional(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef(cmd, "%s is missing", strings.TrimSuffix(names[len(args)], "..."))
		}
		repeats := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
		if len(args) > len(names) && !repeats {
			return usagef(cmd, "unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// optional takes at most these, in this order.
func optional(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return usagef(cmd, "unexpected argument %q", args[len(names)])
		}
		return nil
	}
}
