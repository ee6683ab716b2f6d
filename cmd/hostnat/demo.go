package main

import (
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/demo"
)

func demoCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "Show everything in namespaces of its own; nothing of the host is touched", Args: positional(),
		Long: "Show what hostnat does, step by step, in network namespaces made for this and removed afterwards.\n" +
			"Fails if anything is not as promised. With NO_COLOR set, or into a pipe, the output is plain.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.needRoot("hostnat demo"); err != nil {
				return err
			}
			// A closed terminal or pipe must not keep it from cleaning up.
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGHUP, unix.SIGPIPE)
			defer stop()
			styled := a.Terminal && a.Getenv("NO_COLOR") == ""
			return demo.Run(ctx, a.Stdout, styled, a.Executable)
		},
	}
}
