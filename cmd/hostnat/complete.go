package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
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

// completePublished completes what `publish` takes: the endpoint in it.
func (a *app) completePublished(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	before := begun[:strings.LastIndexByte(begun, ':')+1]
	names := a.ask(cmd.Context(), endpointNames)
	for i, name := range names {
		names[i] = before + name + ":"
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeTarget completes --internal: the endpoint before its port.
func completeTarget(a *app, cmd *cobra.Command) {
	mustRegister(cmd, "internal", func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before := begun[:strings.LastIndexByte(begun, ',')+1]
		names := a.ask(cmd.Context(), endpointNames)
		for i, name := range names {
			names[i] = before + name + ":"
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// filesIn are the names in a directory.
func filesIn(directory string) (list []string) {
	entries, _ := os.ReadDir(directory)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func namespaceNames(context.Context, *api.Client) []string { return filesIn("/run/netns") }

// linkNames are the links that hostnat did not make and that can have somebody behind.
func linkNames(context.Context, *api.Client) []string {
	return slices.DeleteFunc(filesIn("/sys/class/net"), func(name string) bool {
		return name == "lo" || strings.HasPrefix(name, "hn-") || strings.HasPrefix(name, "hv-") || strings.HasPrefix(name, "hostnat")
	})
}

func tapNames(ctx context.Context, c *api.Client) []string {
	return slices.DeleteFunc(linkNames(ctx, c), func(name string) bool {
		_, err := os.Stat(filepath.Join("/sys/class/net", name, "tun_flags"))
		return err != nil
	})
}

// listedIn are the names in a file of users or groups.
func listedIn(file string) names {
	return func(context.Context, *api.Client) (list []string) {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			if name, _, ok := strings.Cut(line, ":"); ok {
				list = append(list, name)
			}
		}
		return list
	}
}

// containerNames are those of Docker's that run.
func (a *app) containerNames(ctx context.Context, _ *api.Client) []string {
	e, err := docker.Dial(cmp.Or(a.Getenv("DOCKER_HOST"), docker.DefaultHost))
	if err != nil {
		return nil
	}
	defer e.Close()
	list, _ := e.Names(ctx)
	return list
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
