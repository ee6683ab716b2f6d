package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

// completionTime is how long a shell waits for the daemon after Tab.
const completionTime = 500 * time.Millisecond

type completer = cobra.CompletionFunc

// names lists what can stand in one place; an error is an empty list.
type names func(context.Context, *api.Client) []string

// arguments completes each positional argument from its own list; after the
// last there is nothing more.
func (a *app) arguments(lists ...names) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(lists) || lists[len(args)] == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.ask(cmd.Context(), lists[len(args)]), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlagFrom completes a flag's value with names that the daemon has.
func (a *app) completeFlagFrom(cmd *cobra.Command, flag string, list names) {
	mustRegister(cmd, flag, func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.ask(cmd.Context(), list), cobra.ShellCompDirectiveNoFileComp
	})
}

// completeFlag completes a flag's value with fixed words.
func completeFlag(cmd *cobra.Command, flag string, words ...string) {
	mustRegister(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func mustRegister(cmd *cobra.Command, flag string, f completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the command has no such flag: every test would see it
	}
}

func (a *app) ask(ctx context.Context, list names) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	return list(ctx, a.client())
}

func natNames(ctx context.Context, c *api.Client) []string {
	rows, _ := c.NATs(ctx)
	return namesOf(rows, func(n api.NAT) string { return n.Name })
}

func networkNames(ctx context.Context, c *api.Client) []string {
	rows, _ := c.Networks(ctx)
	return namesOf(rows, func(n api.Network) string { return n.Name })
}

func endpointNames(ctx context.Context, c *api.Client) []string {
	rows, _ := c.Endpoints(ctx, "")
	return namesOf(rows, func(e api.Endpoint) string { return e.Name })
}

func namesOf[T any](rows []T, name func(T) string) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = name(row)
	}
	return out
}
